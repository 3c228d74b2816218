package testenv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
)

// errPortTaken says that somebody else took a port between its choice and its use.
var errPortTaken = errors.New("port taken by another process")

// portTries bounds how often a port that was taken is chosen anew.
const portTries = 8

// freePorts chooses n free ports of the loopback below those that systems give to
// outgoing connections, so that a killed node finds its port free again.
func freePorts(n int) ([]int, error) {
	var out []int
	for range 100 * n {
		p := 10240 + rand.IntN(20000)
		if slices.Contains(out, p) || !portFree(p) {
			continue
		}
		if out = append(out, p); len(out) == n {
			return out, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports on 127.0.0.1", n)
}

func portFree(p int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
