package views

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// Each copy has a store of its own, named "view/<name of the view>/<generation>".
// There is one, or two while a copy is built beside the one that is served.

func (v *View) storeName(generation uint64) string {
	return v.storePrefix() + strconv.FormatUint(generation, 10)
}

func (v *View) storePrefix() string { return "view/" + v.cfg.Table + "/" }

// generations lists the copies that exist, the newest first.
func (v *View) generations() ([]uint64, error) {
	names, err := v.cfg.DB.Names()
	if err != nil {
		return nil, fmt.Errorf("list stores: %w", err)
	}
	var gs []uint64
	for _, name := range names {
		if s, ok := strings.CutPrefix(name, v.storePrefix()); ok {
			if g, err := strconv.ParseUint(s, 10, 64); err == nil {
				gs = append(gs, g)
			}
		}
	}
	slices.Sort(gs)
	slices.Reverse(gs)
	return gs, nil
}

// adopt opens the best copy that fits the topic, drops the others, and makes a
// new one where none fits.
func (v *View) adopt(ctx context.Context, topic string) (*replica, error) {
	src, ends, err := v.look(ctx, topic)
	if err != nil {
		return nil, err
	}
	gs, err := v.generations()
	if err != nil {
		return nil, err
	}
	var best *replica
	for _, g := range gs {
		r, reason, err := v.reopen(g, src, ends)
		if err != nil {
			return nil, errors.Join(err, best.discard(v.cfg.DB))
		}
		switch {
		case r == nil:
			v.cfg.Log.Warn("view: its copy is dropped and built anew", "view", v.cfg.Table, "table", topic, "because", reason)
			err = v.cfg.DB.Drop(v.storeName(g))
		case best == nil:
			best = r
		case r.head.Complete && !best.head.Complete:
			best, err = r, best.discard(v.cfg.DB)
		default:
			err = r.discard(v.cfg.DB)
		}
		if err != nil {
			return nil, err
		}
	}
	if best != nil {
		return best, nil
	}
	return v.create(src, ends, next(gs))
}

func next(gs []uint64) uint64 {
	if len(gs) == 0 {
		return 1
	}
	return gs[0] + 1
}

// look asks the cluster what there is to follow.
func (v *View) look(ctx context.Context, topic string) (source, map[record.Partition]record.Ends, error) {
	src, err := v.cluster.describe(ctx, topic)
	if err != nil {
		return source{}, nil, err
	}
	ends, err := v.cluster.EndsOf(ctx, src.partitions()...)
	return src, ends, err
}

// reopen opens an existing copy; where it does not fit, the reason says why.
func (v *View) reopen(g uint64, src source, ends map[record.Partition]record.Ends) (*replica, string, error) {
	r, err := v.openStore(src, g)
	if err != nil {
		return nil, "", err
	}
	head, reason, err := readHeader(r.store)
	if err == nil && reason == "" {
		reason = head.misfit(src)
	}
	if err == nil && reason == "" {
		if perr := r.open(*head, ends); perr != nil {
			reason = perr.Error()
		} else {
			reason = r.unfit(ends)
		}
	}
	if err != nil || reason != "" {
		return nil, reason, errors.Join(err, r.store.Close())
	}
	return r, "", nil
}

func readHeader(s state.Store) (h *header, reason string, err error) {
	b, found, err := s.Get(headerKey(), nil)
	if err != nil {
		return nil, "", err
	}
	if !found {
		return nil, "it was left before its first write", nil
	}
	if h, err = parseHeader(b); err != nil {
		return nil, err.Error(), nil
	}
	return h, "", nil
}

// unfit compares the copy's positions and age with the logs.
func (r *replica) unfit(ends map[record.Partition]record.Ends) string {
	behind := false
	for _, p := range r.partitions() {
		at := r.places[p.Partition].Load()
		if reason := denied(*at, ends[p]); reason != "" {
			return fmt.Sprintf("partition %d: %s", p.Partition, reason)
		}
		behind = behind || at.Offset < ends[p].HighWatermark
	}
	if behind { // else there was nothing that it could have missed
		return r.head.outdated(r.source, r.clock())
	}
	return ""
}

// create makes a new, empty copy.
func (v *View) create(src source, ends map[record.Partition]record.Ends, g uint64) (*replica, error) {
	r, err := v.openStore(src, g)
	if err != nil {
		return nil, err
	}
	err = r.store.Wipe() // a crash may have left an unfinished drop
	if err == nil {
		err = r.open(header{Cluster: src.Cluster, Topic: src.Topic, TopicID: src.ID,
			Partitions: src.Partitions, Generation: g, Seen: v.cfg.Clock()}, ends)
	}
	if err == nil {
		err = r.checkpoint(nil)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create the view's store %q: %w", r.slot, err), r.store.Close())
	}
	return r, nil
}

func (v *View) openStore(src source, g uint64) (*replica, error) {
	name := v.storeName(g)
	store, err := v.cfg.DB.Open(name)
	if errors.Is(err, state.ErrOpen) {
		return nil, fmt.Errorf("%w (another view of %s is open in this database: share it, or give each its own)", err, v.cfg.Table)
	}
	if err != nil {
		return nil, err
	}
	r := &replica{source: src, slot: name, store: store, logs: v.cluster, clock: v.cfg.Clock,
		log: v.cfg.Log.With("view", v.cfg.Table), moved: &v.moved, every: v.cfg.CheckEvery}
	if v.cfg.CacheBytes > 0 {
		r.cache = newCache(v.cfg.CacheBytes)
	}
	return r, nil
}

// discard closes and deletes a copy that was not started.
func (r *replica) discard(db state.DB) error {
	if r == nil {
		return nil
	}
	if err := r.store.Close(); err != nil {
		return fmt.Errorf("close the view's store %q: %w", r.slot, err)
	}
	return db.Drop(r.slot)
}
