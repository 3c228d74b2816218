package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// simBroker is a model of a Kafka cluster: partitions, the coordinator of
// transactions, the coordinator of the one group. What arrives there is carried
// out at once; when it arrives, and whether the answer does, the world decides.
type simBroker struct {
	w        *world
	plan     *topology.Plan
	logs     map[record.Partition]*simLog
	order    []*simLog
	topics   map[string]int32
	ids      []*simTxnID
	group    *simGroup
	offsets  map[record.Partition]int64 // committed for the group, markers written
	requests []*simRequest
	last     map[int32]uint64  // of the positions decided to be committed, by task
	rig      func(*simRequest) // decides what becomes of requests, where it is not nil
}

func newBroker(w *world) *simBroker {
	b := &simBroker{
		w: w, plan: simPlan, logs: map[record.Partition]*simLog{}, topics: map[string]int32{},
		offsets: map[record.Partition]int64{}, last: map[int32]uint64{},
	}
	for _, in := range b.plan.Inputs {
		b.create(in.Topic, simTasks)
	}
	b.create(b.plan.Table.Topic, simTasks)
	b.create(b.plan.StateTopic, simTasks)
	b.create(simOut, 3)
	b.create(simVisited, 1)
	b.create(b.plan.DeadLetter, 1)
	b.group = &simGroup{w: w}
	return b
}

func (b *simBroker) create(topic string, n int32) {
	b.topics[topic] = n
	for p := range n {
		l := &simLog{b: b, part: record.Partition{Topic: topic, Partition: p}}
		b.logs[l.part] = l
		b.order = append(b.order, l)
	}
}

func (b *simBroker) log(topic string, p int32) *simLog {
	return b.logs[record.Partition{Topic: topic, Partition: p}]
}

// topicID names a topic for good.
func topicID(topic string) (id record.TopicID) {
	copy(id[:], "id:"+topic)
	return id
}

// expire does what time alone brings about.
func (b *simBroker) expire() {
	for _, id := range b.ids {
		id.expire(b.w)
	}
	b.group.expire()
}

func (b *simBroker) offer() {
	w := b.w
	for _, l := range b.order {
		if l.high < l.end() {
			w.offer(l, 4)
		}
	}
	for _, id := range b.ids {
		if id.state == txnEnding {
			w.offer(id, w.faults.markers)
		}
		id.offer(w)
	}
	for _, r := range b.requests {
		w.due(r, w.faults.requests, r.notBefore)
	}
	b.group.offer()
}

// fate is what becomes of a request.
type fate uint8

const (
	fateArrives fate = iota
	fateLost         // carried out; the answer is lost
	fateDropped      // never arrives
	fateLate         // arrives after the sender has given up
	fateRefused      // a broker says no before anything has happened
	fateAgain        // carried out; the answer is lost, and the client asks again
)

// simRequest is a request on its way to the broker, or its answer on the way back.
type simRequest struct {
	name      string
	fate      fate
	notBefore time.Time
	// exec carries it out; false: the coordinator is busy, try again.
	exec func() bool
	// answer tells the sender, nil once nobody waits. arrived is false where the
	// sender does not know what became of it.
	answer func(f fate)
	done   bool // carried out, not answered
}

// send puts a request on its way.
func (b *simBroker) send(name string, late bool, exec func() bool, answer func(fate)) *simRequest {
	r := &simRequest{name: name, exec: exec, answer: answer, fate: b.draw(late)}
	if b.rig != nil {
		b.rig(r)
	}
	b.requests = append(b.requests, r)
	return r
}

func (b *simBroker) draw(late bool) fate {
	w, f := b.w, &b.w.faults
	switch {
	case w.chance(f.lost):
		return fateLost
	case w.chance(f.dropped):
		return fateDropped
	case late && w.chance(f.late):
		return fateLate
	case w.chance(f.refused):
		return fateRefused
	case w.chance(f.again):
		return fateAgain
	}
	return fateArrives
}

func (r *simRequest) act(w *world) {
	switch {
	case r.done:
		r.finish(w, r.fate)
	case r.fate == fateDropped || r.fate == fateRefused:
		w.say("%s: %s", r.name, r.fate)
		r.finish(w, r.fate)
	case r.fate == fateLate && r.answer != nil:
		w.say("%s: the sender gives up", r.name)
		r.answer(r.fate)
		r.answer = nil
		r.notBefore = w.now.Add(w.between(0, 300*time.Millisecond))
	case r.answer == nil && w.chance(4):
		w.say("%s: gone with its sender", r.name)
		r.drop(w)
	case r.fate == fateAgain && r.answer != nil:
		if r.exec() {
			w.say("%s: asked again", r.name)
			r.fate = fateArrives
		}
		r.notBefore = w.now.Add(w.between(0, 100*time.Millisecond))
	case !r.exec():
		r.notBefore = w.now.Add(w.between(time.Millisecond, 10*time.Millisecond))
	case r.answer == nil:
		r.drop(w)
	case w.chance(2):
		r.finish(w, r.fate)
	default:
		r.done = true
	}
}

func (r *simRequest) finish(w *world, f fate) {
	if r.answer != nil {
		r.answer(f)
	}
	r.drop(w)
}

func (r *simRequest) drop(w *world) {
	b := w.broker
	b.requests = slices.DeleteFunc(b.requests, func(o *simRequest) bool { return o == r })
}

func (f fate) String() string {
	return [...]string{"arrives", "answer lost", "dropped", "late", "refused", "asked again"}[f]
}

// leave is for requests whose sender is gone: they may still arrive.
func (r *simRequest) leave() {
	r.answer = nil
	if r.fate == fateDropped || r.fate == fateRefused {
		r.exec = func() bool { return true }
	}
	r.fate = fateLate
}

var errNoAnswer = fmt.Errorf("the brokers did not answer")
