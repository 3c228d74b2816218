package engine

// simVisit is a visitor's run over the keys of one worker.
type simVisit struct {
	r        *simRunner
	keys     int64
	err      error
	answered bool
}

// visit sends a visitor over all keys of a process.
func (w *world) visit(p *simProcess) {
	w.say("%s is visited", p)
	for _, r := range p.runners {
		v := &simVisit{r: r}
		w.visits = append(w.visits, v)
		r.post(evVisit{&simPlan.Visitors[0], nil, func(keys int64, err error) {
			if v.answered {
				w.violate("%s answers a visit twice", r)
			}
			v.keys, v.err, v.answered = keys, err, true
		}})
	}
}

// checkVisits: every visit is answered while its process lives, and what it says to
// have visited has been committed, once.
func (w *world) checkVisits() {
	var said, committed int64
	sure := true
	for _, v := range w.visits {
		if !v.answered && v.r.p.alive && !v.r.p.draining {
			w.violate("%s does not answer a visit", v.r)
		}
		said += v.keys
		sure = sure && v.answered && v.err == nil
	}
	for _, e := range w.broker.log(simVisited, 0).entries {
		if e.committed() {
			committed++
		}
	}
	if committed < said || sure && committed > said {
		w.violate("visits say %d keys, %d were committed", said, committed)
	}
}
