package engine

import (
	"context"
	"errors"
	"testing"
)

func TestClosersMayGrowWhileSomebodyWaits(t *testing.T) {
	var c closers
	if err := c.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, second := make(chan struct{}), make(chan struct{})
	c.Go(func() { <-first })
	waited := make(chan error)
	go func() { waited <- c.wait(t.Context()) }()
	c.Go(func() { <-second })
	close(first)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("with one under way: %v", err)
	}
	close(second)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := c.wait(t.Context()); err != nil {
		t.Error(err)
	}
}
