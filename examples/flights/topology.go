package main

import (
	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

var (
	airlines    = topology.LookupOf("airlines", schema.String())
	routeEvents = topology.OutputOf("route-events", schema.JSON[RouteEvent]())

	// flightStatus keeps the last state of each flight. What it hears twice it
	// drops; all else it passes on to the flight's route, so that route-events
	// says each thing once.
	flightStatus = topology.Group("flight-status",
		topology.InputOf("flights", schema.JSON[Event](), nil, followFlight),
		topology.PersistOf(schema.JSON[Flight]()),
		airlines,
		routeEvents,
	)

	// routeStats counts what happens on each route.
	routeStats = topology.Group("route-stats",
		topology.InputOf("route-events", schema.JSON[RouteEvent](), nil, countRoute),
		topology.PersistOf(schema.JSON[Stats]()),
	)
)

func followFlight(ctx *processors.Typed[Flight], e Event) {
	flight, known := ctx.Value()
	if !flight.Apply(e) {
		ctx.Count(record.Duplicate)
		return
	}
	if !known {
		flight.Airline = airlineOf(ctx, e.Carrier)
	}
	ctx.Set(flight)
	routeEvents.Emit(ctx, e.Route(), RouteEvent{Flight: e.ID, Kind: e.Kind, Delay: e.Delay, First: !known})
}

// airlineOf returns the carrier's name, or its code where it is on no list.
func airlineOf(ctx *processors.Typed[Flight], carrier string) string {
	if name, found := airlines.Get(ctx, carrier); found {
		return name
	}
	return carrier
}

func countRoute(ctx *processors.Typed[Stats], e RouteEvent) {
	stats, _ := ctx.Value()
	stats.Add(e)
	ctx.Set(stats)
}
