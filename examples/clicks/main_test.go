package main

import (
	"testing"

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
