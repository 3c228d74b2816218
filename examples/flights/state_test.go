package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// compute runs the two groups' rules over a feed, without any machinery.
func compute(feed []Event) (map[string]Flight, map[string]Stats) {
	flights, routes := make(map[string]Flight), make(map[string]Stats)
	for _, e := range feed {
		f := flights[e.ID]
		first := f.Status == ""
		if !f.Apply(e) {
			continue
		}
		flights[e.ID] = f
		s := routes[e.Route()]
		s.Add(RouteEvent{e.ID, e.Kind, e.Delay, first}, usualOnTime)
		routes[e.Route()] = s
	}
	return flights, routes
}

func january(t *testing.T) []Row {
	t.Helper()
	m, err := January()
	if err != nil {
		t.Fatal(err)
	}
	return m.Rows
}

func TestAnyOrderAndRepetitionGivesTheFold(t *testing.T) {
	rows := january(t)
	want := Fold(rows, usualOnTime)
	if len(want) != 186 {
		t.Fatalf("%d routes", len(want))
	}
	feed := Disturb{Dup: 0.5, Disorder: 12 * time.Hour, Seed: 1}.Feed(rows)
	wantFlights, got := compute(feed)
	if !maps.Equal(got, want) {
		t.Error("disturbed feed: not the fold")
	}
	for seed := range uint64(3) {
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(feed), func(i, j int) { feed[i], feed[j] = feed[j], feed[i] })
		flights, got := compute(feed)
		if !maps.Equal(got, want) {
			t.Errorf("seed %d: not the fold", seed)
		}
		if !maps.EqualFunc(flights, wantFlights, sameFlight) {
			t.Errorf("seed %d: a flight's last state depends on the order", seed)
		}
	}
}

func sameFlight(a, b Flight) bool {
	e, f := a.Events, b.Events
	a.Events, b.Events = nil, nil
	return maps.Equal(e, f) && a.Status == b.Status && a.ArrDelay == b.ArrDelay && a.DepDelay == b.DepDelay
}

func TestTheLargestDelayMayBeNegative(t *testing.T) {
	var s Stats
	s.Add(RouteEvent{Kind: Cancelled, First: true}, usualOnTime)
	if s.DepDelayMax != 0 {
		t.Errorf("nothing departed: %d", s.DepDelayMax)
	}
	for _, d := range []int{-7, -3, -5} {
		s.Add(RouteEvent{Kind: Departed, Delay: d, First: true}, usualOnTime)
	}
	if s.DepDelayMax != -3 || s.DepDelaySum != -15 || s.Flights != 4 {
		t.Errorf("all early: %+v", s)
	}
}

func TestFeedIsInOrderButForItsBoundedDisorder(t *testing.T) {
	rows := january(t)
	inOrder := func(a, b Event) int { return a.At.Compare(b.At) }
	calm := Disturb{Seed: 7}.Feed(rows)
	if !slices.IsSortedFunc(calm, inOrder) {
		t.Error("an undisturbed feed is out of order")
	}
	d := Disturb{Dup: 0.03, Disorder: 10 * time.Minute, Seed: 7}
	feed := d.Feed(rows)
	if slices.IsSortedFunc(feed, inOrder) {
		t.Error("a disturbed feed is in order")
	}
	var newest time.Time
	sent := make(map[[2]string]int)
	for _, e := range feed {
		key := [2]string{e.ID, string(e.Kind)}
		if sent[key]++; sent[key] == 1 && newest.Sub(e.At) > d.Disorder {
			t.Fatalf("%s %s is %v late", e.ID, e.Kind, newest.Sub(e.At))
		}
		if sent[key] == 1 && e.At.After(newest) {
			newest = e.At
		}
	}
	dups := len(feed) - len(calm)
	if len(sent) != len(calm) || dups < len(calm)*2/100 || dups > len(calm)*4/100 {
		t.Errorf("%d events of %d, %d sent again", len(sent), len(calm), dups)
	}
}

func TestSeedDecidesTheFeed(t *testing.T) {
	rows := january(t)
	feed := func(seed uint64) []Event { return Disturb{Dup: 0.1, Disorder: time.Hour, Seed: seed}.Feed(rows) }
	if !slices.Equal(feed(3), feed(3)) {
		t.Error("the same seed gave two feeds")
	}
	if slices.Equal(feed(3), feed(4)) {
		t.Error("two seeds gave the same feed")
	}
}

func TestFoldOfOneRoute(t *testing.T) { // the figures are awk's
	for onTime, want := range map[int]int64{15: 232, 10: 204} {
		got := Fold(january(t), onTime)["EWR-IAH"]
		if want := (Stats{309, 309, 0, 0, 309, 1881, 307, 1404, want}); got != want {
			t.Errorf("%d minutes: got  %+v\nwant %+v", onTime, got, want)
		}
	}
}
