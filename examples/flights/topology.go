package main

import (
	"github.com/spf13/cobra"

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
)

// groups returns the topology; onTime is the rule for what is on time, in minutes.
func groups(onTime int) []*topology.Def {
	return []*topology.Def{flightStatus, routeStats(onTime)}
}

// The groups' names.
const (
	flightGroup = "flight-status"
	routeGroup  = "route-stats"
)

// routeStats counts what happens on each route.
func routeStats(onTime int) *topology.Def {
	return topology.Group(routeGroup,
		topology.InputOf("route-events", schema.JSON[RouteEvent](), nil, func(ctx *processors.Typed[Stats], e RouteEvent) {
			stats, _ := ctx.Value()
			stats.Add(e, onTime)
			ctx.Set(stats)
		}),
		topology.PersistOf(schema.JSON[Stats]()),
	)
}

// groupsOf returns the topology that the flags of a verb ask for.
func groupsOf(cmd *cobra.Command) ([]*topology.Def, error) {
	onTime, err := cmd.Flags().GetInt("on-time")
	return groups(onTime), err
}

// onTimeFlag adds the rule to a verb that runs the groups.
func onTimeFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Int("on-time", usualOnTime, "arrival delay, in minutes, up to which a landing is on time")
	return cmd
}

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
