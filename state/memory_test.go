package state_test

import (
	"testing"

	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/statetest"
)

func TestMemoryAcceptance(t *testing.T) {
	statetest.Run(t, func(*testing.T) state.DB { return state.NewMemory() })
}
