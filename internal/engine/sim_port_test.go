package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
)

// portScripts are what producers do and what it comes to, on the model of the broker
// as on real ones. a and b have one transactional id, c has another. A step is
// followed by its outcome. "old" offsets carry the fence from before the last event
// of the group, "stranger" ones an unknown member's, "impostor" ones another
// member's under our instance; the n-th offsets of a script commit offset n.
//
// Events of the group: another member joins (rejoin), ours leaves, returns, or comes
// back as a new process with the same instance (restart). expire waits until the
// brokers have ended the transactions that are open, trim deletes what is in the log.
//
// read counts what is committed once no transaction is open, peek what can be read
// now; committed is the group's offset; replay reads from offset 0 on, beyond from
// far behind the log's end.
//
// Faults are of one kind of request of one producer: see wire. arrives delivers what
// was held, heal ends all faults, cut breaks every connection.
var portScripts = map[string]string{
	"a commit":                            "a init:ok a produce a flush:ok a offsets:ok a commit:ok read:1",
	"an abort":                            "a init:ok a produce a flush:ok a offsets:ok a abort:ok read:0",
	"an abort before the flush":           "a init:ok a produce a abort:ok read:0",
	"an abort before the offsets":         "a init:ok a produce a flush:ok a abort:ok read:0",
	"a commit without offsets":            "a init:ok a produce a flush:ok a commit:ok read:1",
	"a commit of nothing":                 "a init:ok a commit:ok read:0",
	"an abort of nothing":                 "a init:ok a abort:ok read:0",
	"a flush of nothing":                  "a init:ok a flush:ok read:0",
	"a commit asked for twice":            "a init:ok a produce a flush:ok a commit:ok a commit:ok read:1",
	"an abort asked for twice":            "a init:ok a produce a flush:ok a abort:ok a abort:ok read:0",
	"offsets without records":             "a init:ok a offsets:aborted a abort:ok read:0",
	"offsets twice":                       "a init:ok a produce a flush:ok a offsets:ok a offsets:ok a commit:ok read:1",
	"two commits":                         "a init:ok a produce a flush:ok a offsets:ok a commit:ok a produce a flush:ok a offsets:ok a commit:ok read:2",
	"a commit after an abort":             "a init:ok a produce a flush:ok a abort:ok a produce a flush:ok a offsets:ok a commit:ok read:1",
	"an abort after a commit":             "a init:ok a produce a flush:ok a commit:ok a produce a flush:ok a abort:ok read:1",
	"an older generation":                 "a init:ok a produce a flush:ok rejoin a offsets old:stale a abort:ok read:0",
	"an older generation, then the new":   "a init:ok a produce a flush:ok rejoin a offsets old:stale a abort:ok a produce a flush:ok a offsets:ok a commit:ok read:1",
	"a rebalance before the offsets":      "a init:ok a produce a flush:ok rejoin a offsets:ok a commit:ok read:1",
	"a rebalance after the offsets":       "a init:ok a produce a flush:ok a offsets:ok rejoin a commit:ok read:1",
	"an unknown member":                   "a init:ok a produce a flush:ok a offsets stranger:stale a abort:ok read:0",
	"another member under the instance":   "a init:ok a produce a flush:ok a offsets impostor:fenced read:?",
	"two ids":                             "a init:ok c init:ok a produce c produce a flush:ok c flush:ok a commit:ok c abort:ok read:1",
	"a newer producer before the records": "a init:ok b init:ok a produce a flush:fenced b produce b flush:ok b commit:ok read:1",
	"a newer producer before the offsets": "a init:ok a produce a flush:ok b init:ok a offsets:fenced read:0",
	"a newer producer before the commit":  "a init:ok a produce a flush:ok a offsets:ok b init:ok a commit:fenced read:0",
	"a newer producer before the abort":   "a init:ok a produce a flush:ok b init:ok a abort:fenced read:0",
	"a newer producer after the commit":   "a init:ok a produce a flush:ok a commit:ok b init:ok b produce b flush:ok b commit:ok read:2",
	"a producer taken back":               "a init:ok b init:ok a produce a flush:fenced a rebuild a init:ok a produce a flush:ok a commit:ok b produce b flush:fenced read:1",
	"a rebuild over an open transaction":  "a init:ok a produce a flush:ok a offsets:ok a rebuild a init:ok read:0",
	"a rebuild after a commit":            "a init:ok a produce a flush:ok a commit:ok a rebuild a init:ok a produce a flush:ok a commit:ok read:2",
	"a rebuild before the flush":          "a init:ok a produce a rebuild a init:ok a produce a flush:ok a commit:ok read:1",
	"many records":                        "a init:ok a produce a produce a produce a flush:ok a offsets:ok a commit:ok read:3",
	"a commit after refused offsets":      "a init:ok a produce a flush:ok a offsets stranger:stale a commit:ok read:1",
	"offsets after refused ones":          "a init:ok a produce a flush:ok a offsets stranger:stale a offsets:ok a commit:ok read:1",
	"offsets after the commit":            "a init:ok a produce a flush:ok a commit:ok a offsets:aborted a abort:ok read:1",
	"a commit after aborted offsets":      "a init:ok a produce a flush:ok a offsets:ok a abort:ok a produce a flush:ok a commit:ok read:1",
	"another id beside an open one":       "a init:ok a produce a flush:ok c init:ok a commit:ok read:1",
	"an abort beside a commit":            "a init:ok c init:ok a produce a flush:ok c produce c flush:ok a abort:ok c commit:ok read:1",
	"taken back before anything is sent":  "a init:ok b init:ok a rebuild a init:ok b produce b flush:fenced a produce a flush:ok a commit:ok read:1",
	"a rebuild after an abort":            "a init:ok a produce a flush:ok a abort:ok a rebuild a init:ok a produce a flush:ok a commit:ok read:1",
	"a rebuild after offsets are refused": "a init:ok a produce a flush:ok a offsets stranger:stale a rebuild a init:ok a produce a flush:ok a offsets:ok a commit:ok read:1",
	"three generations":                   "a init:ok a produce a flush:ok a offsets:ok a commit:ok rejoin a produce a flush:ok a offsets old:stale a abort:ok a produce a flush:ok a offsets:ok a commit:ok read:2",
	"an init twice":                       "a init:ok a rebuild a init:ok a rebuild a init:ok a produce a flush:ok a commit:ok read:1",

	"a commit without a flush":              "a init:ok a produce a commit:aborted a abort:ok read:0",
	"offsets without a flush":               "a init:ok a produce a offsets:aborted a abort:ok read:0 committed:0",
	"records after the flush":               "a init:ok a produce a flush:ok a produce a offsets:aborted a commit:aborted a abort:ok read:0",
	"records after an abort without answer": "a init:ok a produce a flush:ok a away end a abort:unknown a rebuild a init:ok a heal a produce a flush:ok a commit:ok read:1",
	"offsets stand with the commit":         "a init:ok a produce a flush:ok a offsets:ok a commit:ok a produce a flush:ok a offsets:ok a abort:ok committed:1",
	"offsets fall with the fence":           "a init:ok a produce a flush:ok a offsets:ok b init:ok committed:0",
	"the last offsets count":                "a init:ok a produce a flush:ok a offsets:ok a offsets:ok a commit:ok committed:2",
	"a newer producer amid the records":     "a init:ok a produce a flush:ok b init:ok a produce a flush:fenced b produce b flush:ok b commit:ok read:1",

	"a commit's answer is lost":                           "a init:ok a produce a flush:ok a offsets:ok a lose end a commit:ok read:1 committed:1",
	"a commit that is lost":                               "a init:ok a produce a flush:ok a offsets:ok a drop end a commit:ok read:1 committed:1",
	"an abort's answer is lost":                           "a init:ok a produce a flush:ok a offsets:ok a lose end a abort:ok read:0 committed:0",
	"an abort that is lost":                               "a init:ok a produce a flush:ok a offsets:ok a drop end a abort:ok read:0 committed:0",
	"the next after a commit's lost answer":               "a init:ok a produce a flush:ok a lose end a commit:ok a produce a flush:ok a offsets:ok a commit:ok read:2 committed:1",
	"the next after an abort's lost answer":               "a init:ok a produce a flush:ok a lose end a abort:ok a produce a flush:ok a offsets:ok a commit:ok read:1 committed:1",
	"a commit is never answered":                          "a init:ok a produce a flush:ok a offsets:ok a mute end a commit:unknown a rebuild a init:ok read:1 committed:1",
	"a commit never arrives":                              "a init:ok a produce a flush:ok a offsets:ok a away end a commit:unknown a rebuild a init:ok read:0 committed:0",
	"an abort is never answered":                          "a init:ok a produce a flush:ok a mute end a abort:unknown a rebuild a init:ok read:0",
	"an abort never arrives":                              "a init:ok a produce a flush:ok a away end a abort:unknown a rebuild a init:ok read:0",
	"an abort after a commit in doubt":                    "a init:ok a produce a flush:ok a mute end a commit:unknown a heal a abort:unknown a commit:unknown a rebuild a init:ok read:1",
	"a commit that comes late":                            "a init:ok a produce a flush:ok a offsets:ok a hold end a commit:unknown a arrives a rebuild a init:ok read:1 committed:1",
	"a commit that comes after the heir":                  "a init:ok a produce a flush:ok a offsets:ok a hold end a commit:unknown a rebuild a init:ok a arrives read:0 a heal a produce a flush:ok a commit:ok read:1 committed:0",
	"a commit that comes into the heir's transaction":     "a init:ok a produce a flush:ok a hold end a commit:unknown b init:ok b produce b flush:ok a arrives b abort:ok read:0",
	"a commit that comes twice":                           "a init:ok a produce a flush:ok a echo end a commit:ok a arrives a produce a flush:ok a commit:ok read:2",
	"an abort that comes twice":                           "a init:ok a produce a flush:ok a echo end a abort:ok a arrives a produce a flush:ok a commit:ok read:1",
	"a commit that comes again into the next transaction": "a init:ok a produce a flush:ok a echo end a commit:ok a produce a flush:ok a arrives a abort:ok read:1",
	"an abort that comes again into the next transaction": "a init:ok a produce a flush:ok a echo end a abort:ok a produce a flush:ok a arrives a commit:ok read:1",
	"a commit under a fence in doubt":                     "a init:ok a produce a flush:ok a mute end a commit:unknown b init:ok b produce b flush:ok b commit:ok read:2",

	"the records' answer is lost":              "a init:ok a lose produce a produce a produce a flush:ok a commit:ok read:2",
	"records that are lost":                    "a init:ok a drop produce a produce a flush:ok a commit:ok read:1",
	"records are never answered":               "a init:ok a mute produce a produce a flush:aborted a abort:unknown a rebuild a init:ok a heal read:0",
	"records never arrive":                     "a init:ok a away produce a produce a flush:aborted a commit:aborted a abort:unknown a rebuild a init:ok a heal read:0",
	"a second batch is never answered":         "a init:ok a produce a flush:ok a mute produce a produce a flush:aborted a offsets:aborted a commit:aborted a abort:unknown a rebuild a init:ok a heal read:0",
	"records that come twice":                  "a init:ok a echo produce a produce a flush:ok a arrives a commit:ok read:1",
	"records that come again after the commit": "a init:ok a echo produce a produce a flush:ok a commit:ok read:1 a arrives a produce a flush:ok a commit:ok read:2",
	"records that come again after the abort":  "a init:ok a echo produce a produce a flush:ok a abort:ok read:0 a arrives a produce a flush:ok a commit:ok read:1",
	"records that come after the heir":         "a init:ok a produce a flush:ok a hold produce a produce a flush:aborted a abort:unknown a rebuild a init:ok a arrives read:0 a heal a produce a flush:ok a commit:ok read:1",
	"the announcement's answer is lost":        "a init:ok a lose add a produce a flush:ok a lose group a offsets:ok a commit:ok read:1 committed:1",

	"the offsets' answer is lost":        "a init:ok a produce a flush:ok a lose offsets a offsets:ok a commit:ok read:1 committed:1",
	"offsets that are lost":              "a init:ok a produce a flush:ok a drop offsets a offsets:ok a commit:ok read:1 committed:1",
	"offsets are never answered":         "a init:ok a produce a flush:ok a mute offsets a offsets:aborted a abort:ok read:0 committed:0",
	"offsets never arrive":               "a init:ok a produce a flush:ok a away offsets a offsets:aborted a abort:ok read:0 committed:0",
	"offsets that come after the commit": "a init:ok a produce a flush:ok a echo offsets a offsets:ok a commit:ok a arrives a produce a flush:ok a offsets:ok a commit:ok read:2 committed:2",
	"offsets that come after the abort":  "a init:ok a produce a flush:ok a hold offsets a offsets:aborted a abort:ok a arrives read:0 committed:0",
	"offsets that come after the heir":   "a init:ok a produce a flush:ok a hold offsets a offsets:aborted a rebuild a init:ok a arrives read:0 committed:0",

	"the init's answer is lost":                      "a lose init a init:ok a produce a flush:ok a commit:ok read:1",
	"an init that is lost":                           "a drop init a init:ok a produce a flush:ok a commit:ok read:1",
	"an init is never answered":                      "a init:ok a produce a flush:ok b mute init b init:retry a commit:fenced b heal b init:ok read:0",
	"an init never arrives":                          "a init:ok a produce a flush:ok b away init b init:retry a commit:ok b heal b init:ok read:1",
	"an init that comes after the heir, who goes on": "a hold init a init:retry a heal b init:ok b produce b flush:ok a arrives b abort:ok b produce b flush:ok b commit:ok read:1",
	"an init that comes after the heir":              "a hold init a init:retry a heal b init:ok b produce b flush:ok a arrives b commit:unknown read:0",

	"the coordinator is away for a moment": "a init:ok a cut a produce a flush:ok a cut a offsets:ok a cut a commit:ok read:1 committed:1",

	"a transaction that expires before its commit":  "a init:ok a produce a flush:ok a offsets:ok expire a commit:unknown read:0 committed:0",
	"a transaction that expires before its abort":   "a init:ok a produce a flush:ok expire a abort:ok read:0",
	"a transaction that expires before its offsets": "a init:ok a produce a flush:ok expire a offsets:aborted a rebuild a init:ok a produce a flush:ok a commit:ok read:1 committed:0",
	"a transaction that expires amid its records":   "a init:ok a produce a flush:ok expire a produce a flush:aborted a commit:aborted a abort:ok a rebuild a init:ok read:0",
	"a rebuild after it expired":                    "a init:ok a produce a flush:ok a offsets:ok expire a rebuild a init:ok a produce a flush:ok a offsets:ok a commit:ok read:1 committed:2",

	"a commit behind an open transaction": "a init:ok c init:ok c produce c flush:ok a produce a flush:ok a commit:ok peek:0 c commit:ok read:2",
	"a commit before an open transaction": "a init:ok c init:ok a produce a flush:ok a commit:ok read:1 c produce c flush:ok peek:1 c abort:ok read:1",
	"an abort in front of a commit":       "a init:ok c init:ok c produce c flush:ok a produce a flush:ok a commit:ok peek:0 c abort:ok read:1",
	"an init again, without a rebuild":    "a init:ok b init:ok a init:ok b produce b flush:fenced a produce a flush:ok a init:ok a produce a flush:ok a commit:ok read:1",

	"an heir ends what holds readers up": "a init:ok c init:ok c produce c flush:ok a produce a flush:ok a commit:ok peek:0 c rebuild c init:ok read:1",

	"a position below the log's start": "a init:ok a produce a flush:ok a commit:ok read:1 replay:ok trim replay:gone a produce a flush:ok a commit:ok read:1 replay:gone",
	"a position beyond the log's end":  "a init:ok a produce a flush:ok a commit:ok read:1 beyond:gone",

	"a member that has left":                             "a init:ok a produce a flush:ok a offsets:ok a commit:ok leave a produce a flush:ok a offsets:stale a abort:ok read:1 committed:1",
	"a member that has left amid":                        "a init:ok a produce a flush:ok a offsets:ok leave a commit:ok read:1 committed:1",
	"a member that has left and is back":                 "a init:ok a produce a flush:ok a offsets:ok a commit:ok leave return a produce a flush:ok a offsets old:fenced a abort:ok a produce a flush:ok a offsets:ok a commit:ok read:2 committed:3",
	"a new process of the instance":                      "a init:ok a produce a flush:ok a offsets:ok a commit:ok restart a produce a flush:ok a offsets old:fenced a abort:ok a produce a flush:ok a offsets:ok a commit:ok committed:3",
	"a rebalance amid, and a commit under the old fence": "a init:ok a produce a flush:ok a offsets:ok a commit:ok a produce a flush:ok rejoin a offsets old:stale a commit:ok read:2 committed:1",
}

// olderDiffers are the scripts that end otherwise below transaction.version 2. One
// epoch serves many transactions there: an end that comes late finds the next one,
// and records that come late leave a partition with a wrong idea of what follows.
// On the other hand the end of a transaction that the coordinator has ended is not
// taken for a repetition.
var olderDiffers = map[string]string{
	"records that come again after the commit":            "a init:ok a echo produce a produce a flush:ok a commit:ok read:1 a arrives a produce a flush:unknown a commit:aborted a rebuild a init:ok a produce a flush:ok a commit:ok read:2",
	"records that come again after the abort":             "a init:ok a echo produce a produce a flush:ok a abort:ok read:0 a arrives a produce a flush:unknown a rebuild a init:ok a produce a flush:ok a commit:ok read:1",
	"a transaction that expires before its commit":        "a init:ok a produce a flush:ok a offsets:ok expire a commit:fenced read:0 committed:0",
	"a transaction that expires before its abort":         "a init:ok a produce a flush:ok expire a abort:fenced read:0",
	"a transaction that expires amid its records":         "a init:ok a produce a flush:ok expire a produce a flush:aborted a commit:aborted a abort:fenced a rebuild a init:ok read:0",
	"an init that comes after the heir":                   "a hold init a init:retry a heal b init:ok b produce b flush:ok a arrives b commit:fenced read:0",
	"an init that comes after the heir, who goes on":      "a hold init a init:retry a heal b init:ok b produce b flush:ok a arrives b abort:fenced b rebuild b init:ok b produce b flush:ok b commit:ok read:1",
	"a commit that comes again into the next transaction": "a init:ok a produce a flush:ok a echo end a commit:ok a produce a flush:ok a arrives a abort:unknown read:2",
	"an abort that comes again into the next transaction": "a init:ok a produce a flush:ok a echo end a abort:ok a produce a flush:ok a arrives a commit:unknown read:0",
}

// kfakeDiffers are the scripts in which kfake takes the end of a fenced transaction
// for the repetition of the fence's own abort.
var kfakeDiffers = map[string]string{
	"a newer producer before the commit": "a init:ok a produce a flush:ok a offsets:ok b init:ok a commit:unknown read:0",
	"a newer producer before the abort":  "a init:ok a produce a flush:ok b init:ok a abort:ok read:0",
}

// port is where a script is played.
type port interface {
	do(name, verb, arg string) kafka.Result // of a producer
	happen(event string)
	ask(what string) string
}

// The words of a script that are not of a producer.
const (
	portEvents    = " rejoin leave return restart expire trim "
	portQuestions = " read peek committed replay beyond "
)

// play returns the script with the outcomes that it has come to.
func play(p port, script string) string {
	words := strings.Fields(script)
	next := func() (word, answer string) {
		word, answer, _ = strings.Cut(words[0], ":")
		words = words[1:]
		return word, answer
	}
	var out []string
	say := func(parts ...string) { out = append(out, parts...) }
	for len(words) > 0 {
		word, answer := next()
		switch {
		case strings.Contains(portEvents, " "+word+" "):
			p.happen(word)
			say(word)
		case strings.Contains(portQuestions, " "+word+" "):
			if answer != "?" {
				answer = p.ask(word)
			}
			say(word + ":" + answer)
		default:
			say(playStep(p, word, next))
		}
	}
	return strings.Join(out, " ")
}

// playStep plays the step of a producer: a verb, for some an argument, for some an
// outcome.
func playStep(p port, name string, next func() (string, string)) string {
	verb, answer := next()
	arg := ""
	switch verb {
	case "produce", "rebuild", "heal", "arrives", "cut":
		p.do(name, verb, arg)
		return name + " " + verb
	case faultDrop, faultAway, faultLose, faultMute, faultHold, faultEcho:
		arg, _ = next()
		p.do(name, verb, arg)
		return name + " " + verb + " " + arg
	case "offsets":
		if answer == "" {
			arg, _ = next()
			return name + " " + verb + " " + arg + ":" + p.do(name, verb, arg).Outcome.String()
		}
	}
	return name + " " + verb + ":" + p.do(name, verb, arg).Outcome.String()
}

// portTable is the table as one kind of broker plays it.
type portTable map[string]string

// check plays all scripts, some at a time: most of them wait most of the time.
func (pt portTable) check(t *testing.T, most int, open func(t *testing.T, script string) port) {
	var all sync.WaitGroup
	defer all.Wait()
	free := make(chan struct{}, most)
	for name, script := range portScripts {
		if other, ok := pt[name]; ok {
			script = other
		}
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				if got := play(open(t, script), script); got != script {
					t.Errorf("\n got %s\nwant %s", got, script)
				}
			})
		})
	}
}

func TestModelOfTheBrokerAnswersAsBrokersDo(t *testing.T) {
	for _, two := range []bool{true, false} {
		t.Run(fmt.Sprintf("model,transactions2=%v", two), func(t *testing.T) {
			pt := portTable{}
			if !two {
				pt = olderDiffers
			}
			pt.check(t, 1, func(*testing.T, string) port { return newModelPort(two) })
		})
	}
	t.Run("kfake", func(t *testing.T) { checkCluster(t, testenv.Fake(t), kfakeDiffers) })
	if testing.Short() {
		return
	}
	t.Run(string(testenv.KafkaTV2), func(t *testing.T) {
		checkCluster(t, testenv.Kafka(t, testenv.Options{TransactionVersion: 2}), nil)
	})
	t.Run(string(testenv.KafkaTV1), func(t *testing.T) {
		checkCluster(t, testenv.Kafka(t, testenv.Options{TransactionVersion: 1}), olderDiffers)
	})
}
