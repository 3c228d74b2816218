package main

import (
	"testing"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/examples/internal/pasttest"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/topology/topologytest"
)

func TestCountsClicks(t *testing.T) {
	d := topologytest.New(t, clicksPerUser)
	d.Send("clicks", "ann", "/home")
	d.Send("clicks", "bob", "/home")
	d.Crash() // memory is gone; the state is restored from its changelog
	d.Send("clicks", "ann", "/cart")
	if got := d.Table("ann"); got != int64(2) {
		t.Errorf("ann has %v clicks, want 2", got)
	}
}

// What Kafka has forgotten, and the archive has, counts as if Kafka had it.
func TestAnArchivedPastCountsAsKafkaWould(t *testing.T) {
	pasttest.Holds(t, pasttest.Program{
		App:  func() kappa.App { return kappa.App{Name: "clicks", Groups: []*topology.Def{clicksPerUser}} },
		Args: []string{"run"}, Input: "clicks", Table: "clicks-per-user-table",
	})
}
