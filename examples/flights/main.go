// Flights follows the flights out of New York City: what became of each, and how
// each route does.
//
//	flights topics create --brokers 127.0.0.1:9092
//	flights run           --brokers 127.0.0.1:9092 --state-dir state &
//	flights feed          --brokers 127.0.0.1:9092 --data data/flights-2013-01.csv.gz --dup 0.03 --disorder 10m
//	flights view          --brokers 127.0.0.1:9092 route-stats
//
// or all of it in one process, with crashes: flights demo.
package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa"
)

func main() { kappa.Main(app()) }

func app() kappa.App {
	topics := &cobra.Command{Use: "topics"}
	topics.AddCommand(createCommand())
	return kappa.App{
		Name:   "flights",
		Short:  "Follow flights and routes, exactly once",
		Groups: groups(usualOnTime),
		Commands: []*cobra.Command{
			topics, feedCommand(), demoCommand(),
			onTimeFlag(kappa.RunCommand("flights", groupsOf)), onTimeFlag(kappa.DevCommand("flights", groupsOf)),
		},
	}
}
