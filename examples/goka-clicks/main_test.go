package main

import (
	"os"
	"testing"
)

// The example clicks takes over where this one stops: group, topics and codecs are
// part of the bargain.
func TestNamesAreThoseOfTheExampleOnKappa(t *testing.T) {
	got := []string{string(clicksPerUser.Group()), clicksPerUser.InputStreams().Topics()[0], clicksPerUser.GroupTable().Topic()}
	want := []string{"clicks-per-user", "clicks", "clicks-per-user-table"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func TestBrokersAreThoseOfKappasPrograms(t *testing.T) {
	t.Setenv("KAPPA_BROKERS", "a:1,b:2")
	if got := brokers(); len(got) != 2 || got[1] != "b:2" {
		t.Errorf("got %v", got)
	}
	os.Unsetenv("KAPPA_BROKERS")
	if got := brokers(); len(got) != 1 || got[0] != "127.0.0.1:9092" {
		t.Errorf("got %v", got)
	}
}
