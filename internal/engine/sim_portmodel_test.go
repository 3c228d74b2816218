package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// modelPort is the model, with nothing that goes wrong but what a script says.
type modelPort struct {
	w         *world
	producers map[string]*simRunner
	fence     kafka.Fence
	old       kafka.Fence
	offset    int64               // committed last
	faults    map[string]string   // by producer and request
	kept      map[string][]func() // requests that arrive late, by producer
	held      *simRequest         // on its way, until its sender has given up
}

func newModelPort(transactions2 bool) *modelPort {
	w := newWorld(1, mutation{}, false)
	w.chaos, w.procs = false, nil
	w.faults = simFaults{transactions2: transactions2, markers: 1, requests: 1, pace: time.Millisecond, txnTimeout: time.Hour}
	m := &modelPort{w: w, producers: map[string]*simRunner{}, faults: map[string]string{}, kept: map[string][]func(){}}
	w.broker.rig = m.rig
	for name, id := range map[string]string{"a": "x", "b": "x", "c": "y"} {
		r := &simRunner{w: w, name: name, txnID: id}
		r.client = newClient(r)
		m.producers[name] = r
	}
	m.join("")
	return m
}

// join makes the one member join, under an id it has or a new one.
func (m *modelPort) join(id string) {
	g := m.w.broker.group
	g.join(id, "i", fmt.Append(nil, g.generation), func(r groupReply) {
		m.fence = kafka.Fence{Group: "g", Member: r.id, Generation: r.generation, Instance: "i"}
		g.sync(r.id, "i", r.generation, map[string][]byte{}, func(groupReply) {})
	})
}

func (m *modelPort) happen(event string) {
	w, g := m.w, m.w.broker.group
	switch event {
	case "rejoin":
		m.old = m.fence
		m.join(m.fence.Member)
	case "leave":
		m.old = m.fence
		g.remove(g.seat(m.fence.Member))
	case "return":
		m.join("")
	case "restart":
		m.old = m.fence
		m.join("")
	case "expire":
		w.now = w.now.Add(w.faults.txnTimeout + time.Second)
		for _, id := range w.broker.ids {
			id.expire(w)
		}
		m.settle()
	case "trim":
		m.settle()
		l := m.log()
		l.start = l.high
	}
}

// rig lets a request meet the fault that a script has for it. What is lost once the
// client sends again.
func (m *modelPort) rig(r *simRequest) {
	name, request, _ := strings.Cut(r.name, " ")
	if request == "commit" || request == "abort" {
		request = "end"
	}
	fault := m.faults[name+" "+request]
	switch fault {
	case faultDrop, faultLose, faultEcho:
		delete(m.faults, name+" "+request)
	case faultHold:
		m.faults[name+" "+request] = faultAway
	}
	switch exec := r.exec; fault {
	case faultLose:
		r.fate = fateAgain
	case faultMute:
		r.fate = fateLost
	case faultAway:
		r.fate = fateDropped
	case faultHold:
		r.fate, m.held = fateLate, r
		m.kept[name] = append(m.kept[name], func() { exec(); r.drop(m.w) })
	case faultEcho:
		m.kept[name] = append(m.kept[name], func() { exec() })
	}
}

func (m *modelPort) do(name, verb, arg string) kafka.Result {
	r := m.producers[name]
	switch verb {
	case "produce":
		r.client.produce(&kafka.Out{Topic: simOut, Key: []byte("k"), Value: []byte("v")})
	case "init":
		return m.outcome(r, doInit{})
	case "flush":
		return m.outcome(r, doFlush{})
	case "offsets":
		m.offset++
		return m.outcome(r, doOffsets{spoil(m.fence, m.old, arg), []record.Position{{Topic: simIn, Offset: m.offset}}})
	case "rebuild":
		return m.outcome(r, doRebuild{})
	case "commit", "abort":
		return m.outcome(r, doEnd{commit: verb == "commit"})
	case "heal":
		clear(m.faults)
	case "cut": // the client dials again
	case "arrives":
		for _, fn := range m.kept[name] {
			fn()
		}
		delete(m.kept, name)
	default:
		m.faults[name+" "+arg] = verb
	}
	return kafka.Result{}
}

// outcome carries an effect out and lets the broker work until it is answered.
func (m *modelPort) outcome(r *simRunner, e effect) kafka.Result {
	r.op = &simOp{effect: e, begun: true}
	r.begin(r.op)
	for r.op.answer == nil && !(r.flushing() && r.client.flushed()) {
		m.work()
	}
	res := kafka.Result{}
	switch a := r.op.answer.(type) {
	case nil:
		res = r.client.failed
	case evInit:
		res = a.Result
	case evOffsets:
		res = a.Result
	case evEnded:
		res = a.Result
	}
	r.op = nil
	return res
}

// work lets the broker, or a producer that sends, take a step.
func (m *modelPort) work() bool {
	w := m.w
	w.ready, w.weight = w.ready[:0], 0
	for _, id := range w.broker.ids {
		if id.state == txnEnding {
			w.offer(id, 1)
		}
	}
	for _, q := range w.broker.requests {
		if q != m.held || q.answer != nil {
			w.offer(q, 1)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		m.producers[name].client.offer(w, true)
	}
	if len(w.ready) == 0 {
		return false
	}
	w.ready[w.rng.IntN(len(w.ready))].actor.act(w)
	return true
}

func (m *modelPort) settle() {
	for m.work() {
	}
}

func (m *modelPort) log() *simLog { return m.w.broker.log(simOut, 0) }

func (m *modelPort) ask(what string) string {
	l := m.log()
	switch what {
	case "peek":
	case "replay":
		return m.reach(0)
	case "beyond":
		return m.reach(1000)
	case "committed":
		m.settle()
		return fmt.Sprint(m.w.broker.offsets[record.Partition{Topic: simIn}])
	default:
		m.settle()
	}
	records, _ := l.read(l.start, 1000)
	return fmt.Sprint(len(records))
}

func (m *modelPort) reach(from int64) string {
	if m.log().holds(from) {
		return "ok"
	}
	return "gone"
}

// spoil returns the fence that a script asks for.
func spoil(f, old kafka.Fence, how string) kafka.Fence {
	switch how {
	case "old":
		return old
	case "stranger":
		f.Member, f.Instance = "nobody", ""
	case "impostor":
		f.Member = "somebody"
	}
	return f
}
