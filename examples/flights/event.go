package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A Kind is what happened to a flight.
type Kind string

const (
	Departed  Kind = "departed"
	Cancelled Kind = "cancelled"
	Diverted  Kind = "diverted"
	Landed    Kind = "landed"
)

// An Event is a value of the topic flights; its key is the flight's id and its
// timestamp is At.
type Event struct {
	ID        string    `json:"id"`
	Kind      Kind      `json:"kind"`
	At        time.Time `json:"at"`
	Scheduled time.Time `json:"scheduled"` // departure
	Delay     int       `json:"delay"`     // minutes; of a departure or a landing, negative where early
	Carrier   string    `json:"carrier"`
	Tail      string    `json:"tail,omitempty"`
	Origin    string    `json:"origin"`
	Dest      string    `json:"dest"`
}

// Route names the flight's route as the topic route-events and the table
// route-stats do.
func (e Event) Route() string { return e.Origin + "-" + e.Dest }

// Events returns what happened to the flight of a row, in order.
func (r Row) Events() []Event {
	event := func(k Kind, at time.Time, delay int) Event {
		return Event{r.ID, k, at, r.Scheduled, delay, r.Carrier, r.Tail, r.Origin, r.Dest}
	}
	if !r.Departed {
		return []Event{event(Cancelled, r.Scheduled, 0)}
	}
	off := r.Scheduled.Add(minutes(r.DepDelay))
	departed := event(Departed, off, r.DepDelay)
	if !r.Landed {
		return []Event{departed, event(Diverted, off, 0)}
	}
	return []Event{departed, event(Landed, off.Add(minutes(r.AirTime)), r.ArrDelay)}
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

// Disturb says how a feed departs from the order of event time.
type Disturb struct {
	Dup      float64       // share of the events that are sent a second time later, 0 to 1
	Disorder time.Duration // an event is sent up to this much of event time late
	Seed     uint64        // the same seed gives the same feed
}

// dupWithin bounds how much later, in event time, a repeated event comes.
const dupWithin = time.Hour

// Feed returns the events of all rows in the order to send them.
func (d Disturb) Feed(rows []Row) []Event {
	type sending struct {
		Event
		at time.Time // when it is sent, were it live
	}
	rnd := rand.New(rand.NewPCG(d.Seed, 0))
	var feed []sending
	for _, r := range rows {
		for _, e := range r.Events() {
			at := e.At.Add(upTo(rnd, d.Disorder))
			feed = append(feed, sending{e, at})
			if rnd.Float64() < d.Dup {
				feed = append(feed, sending{e, at.Add(upTo(rnd, dupWithin))})
			}
		}
	}
	slices.SortStableFunc(feed, func(a, b sending) int { return a.at.Compare(b.at) })
	events := make([]Event, len(feed))
	for i, s := range feed {
		events[i] = s.Event
	}
	return events
}

// upTo returns a random duration, at most max.
func upTo(rnd *rand.Rand, max time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(max) + 1))
}
