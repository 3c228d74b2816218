package archiver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/archive"
)

// mutation is a fault in the protocol. The zero value has none. Each is made in the
// archiver's surroundings: in what it is told, and in what becomes of what it asks.
type mutation struct {
	name string

	manifestFirst bool // a segment is said to be complete before it is
	overwrite     bool // manifests are created whether or not they exist
	noGrace       bool // what no longer counts is removed at once
	mergeDrops    bool // a merge removes its inputs before its result counts
	groupOffsets  bool // archiving goes on where the group's offset is, which is set when a batch was read
	lostRace      bool // who lost the race for a manifest believes to have won it
	unknownMade   bool // a manifest whose fate is unknown counts as made
	noConfirm     bool // who created a manifest does not look for its predecessor
	dirtyReads    bool // what is not decided yet is archived, too
	dropBatch     bool // a batch is lost on the way from Kafka
}

var mutations = []mutation{
	{name: "the manifest before the segment", manifestFirst: true},
	{name: "overwrite instead of create-if-absent", overwrite: true},
	{name: "collection without grace", noGrace: true},
	{name: "a merge drops its inputs first", mergeDrops: true},
	{name: "the group's offset instead of the manifest", groupOffsets: true},
	{name: "a lost race counts as won", lostRace: true},
	{name: "an unknown outcome counts as made", unknownMade: true},
	{name: "the predecessor is not looked for", noConfirm: true},
	{name: "undecided records are archived", dirtyReads: true},
	{name: "a batch is lost on the way", dropBatch: true},
}

// mutantPut carries out the put of an object, wrongly where that is the mutation.
func (p *simProcess) mutantPut(o *simWriter) error {
	m, store := &p.w.mutant, p.w.store
	manifest := strings.Contains(o.key, "/manifest/")
	put := func() error { return store.put(o.key, o.body, o.exclusive && !(m.overwrite && manifest)) }
	what := fmt.Sprintf("put %s (%d bytes)", short(o.key), len(o.body))
	switch {
	case m.manifestFirst && !manifest && !isProbe(o.key):
		p.w.later(p, what, put)
		return nil
	case m.mergeDrops && !manifest && !isProbe(o.key):
		return p.call(o.ctx, simPut, what, func() error {
			err := put()
			if inputs := p.w.inputs(o.key, o.body); err == nil && len(inputs) > 1 {
				_ = store.delete(inputs[0]) // what matters is that it is noticed
			}
			return err
		})
	}
	c, err := p.send(o.ctx, &simCall{p: p, kind: simPut, what: what, key: o.key, apply: put, done: make(chan struct{})})
	switch {
	case m.lostRace && manifest && errors.Is(err, errSimExists) && c.applied,
		m.unknownMade && manifest && err != nil && c.fault:
		return nil
	}
	if err == nil && manifest {
		p.w.mu.Lock()
		p.made, p.madeKey = o.body, o.key
		p.w.mu.Unlock()
	}
	return err
}

// believed returns, where the mutation is that nobody looks, what a process would like to
// find as the predecessor of the manifest that it made last.
func (p *simProcess) believed(key string) *simObject {
	if !p.w.mutant.noConfirm {
		return nil
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	folder, _, _ := strings.Cut(key, "/manifest/")
	n, ok := manifestOf(key)
	m, err := archive.DecodeManifest(p.made)
	if err != nil || !ok || n+1 != m.Number || !strings.HasPrefix(p.madeKey, folder+"/manifest/") {
		return nil
	}
	p.made = nil // it looks once
	return &simObject{body: binary.BigEndian.AppendUint32(nil, m.Previous), created: time.Now()}
}

// inputs returns the keys of the segments whose offsets a new one answers for.
func (w *simWorld) inputs(key string, body []byte) []string {
	h := w.historyOf(key)
	if h == nil || h.newest == nil {
		return nil
	}
	first, last := int64(-1), int64(-1)
	for b, err := range archive.Batches(body) {
		if err != nil {
			break // the footer
		}
		if first < 0 {
			first = b.BaseOffset
		}
		last = b.LastOffset()
	}
	var keys []string
	for i := range h.newest.Segments {
		if s := &h.newest.Segments[i]; s.Start >= first && s.End <= last+1 {
			keys = append(keys, s.Key(h.newest.Log))
		}
	}
	return keys
}
