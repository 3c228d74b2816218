package main

import "time"

// A Flight is a value of flight-status's table: the last state of a flight.
type Flight struct {
	Status    Kind      `json:"status"` // the last thing that happened to it
	Airline   string    `json:"airline"`
	Tail      string    `json:"tail,omitempty"`
	Origin    string    `json:"origin"`
	Dest      string    `json:"dest"`
	Scheduled time.Time `json:"scheduled"`
	DepDelay  int       `json:"dep_delay"`
	ArrDelay  int       `json:"arr_delay"`
	// Events says when each thing happened that is known to have happened.
	Events map[Kind]time.Time `json:"events"`
}

// Apply brings the flight up to date with an event, in whatever order they come.
// It reports whether the event says something new.
func (f *Flight) Apply(e Event) bool {
	if _, known := f.Events[e.Kind]; known {
		return false
	}
	if f.Events == nil {
		f.Events = make(map[Kind]time.Time, 2)
	}
	f.Events[e.Kind] = e.At
	f.Tail, f.Origin, f.Dest, f.Scheduled = e.Tail, e.Origin, e.Dest, e.Scheduled
	switch e.Kind {
	case Departed:
		f.DepDelay = e.Delay
	case Landed:
		f.ArrDelay = e.Delay
	}
	if e.Kind != Departed || len(f.Events) == 1 { // a departure is never the end of it
		f.Status = e.Kind
	}
	return true
}

// A RouteEvent is a value of the topic route-events: one thing that happened on a
// route, said once.
type RouteEvent struct {
	Flight string `json:"flight"`
	Kind   Kind   `json:"kind"`
	Delay  int    `json:"delay"`
	First  bool   `json:"first"` // the first that was heard of the flight
}

// usualOnTime is the arrival delay, in minutes, up to which a landing is on time, where
// nothing else is said.
const usualOnTime = 15

// Stats is a value of route-stats's table. Delays are minutes.
type Stats struct {
	Flights     int64 `json:"flights"`
	Departed    int64 `json:"departed"`
	Cancelled   int64 `json:"cancelled"`
	Diverted    int64 `json:"diverted"`
	Landed      int64 `json:"landed"`
	DepDelaySum int64 `json:"dep_delay_sum"`
	DepDelayMax int64 `json:"dep_delay_max"` // 0 where nothing departed
	ArrDelaySum int64 `json:"arr_delay_sum"`
	ArrOnTime   int64 `json:"arr_on_time"`
}

// Add counts an event that was not counted before; onTime is the arrival delay, in
// minutes, up to which a landing is on time. The order does not matter.
func (s *Stats) Add(e RouteEvent, onTime int) {
	if e.First {
		s.Flights++
	}
	delay := int64(e.Delay)
	switch e.Kind {
	case Cancelled:
		s.Cancelled++
	case Diverted:
		s.Diverted++
	case Departed:
		if s.Departed == 0 || delay > s.DepDelayMax {
			s.DepDelayMax = delay
		}
		s.Departed++
		s.DepDelaySum += delay
	case Landed:
		s.Landed++
		s.ArrDelaySum += delay
		if e.Delay <= onTime {
			s.ArrOnTime++
		}
	}
}
