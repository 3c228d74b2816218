package record

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// placedAmong are the partition counts of testdata/placement.txt, in its order.
var placedAmong = []int32{1, 2, 3, 5, 8, 12, 17, 50, 1000}

// pin is where one hasher places a key among placedAmong.
type pin struct {
	key, hasher string
	partitions  []int32
}

func readPins(t *testing.T) (pins []pin) {
	t.Helper()
	f, err := os.Open("testdata/placement.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	key, lines := "", bufio.NewScanner(f)
	for lines.Scan() {
		switch l := lines.Text(); {
		case l == "" || l[0] == '#':
		case l[0] == '"':
			key, err = strconv.Unquote(l)
		default:
			var p pin
			p, err = parsePin(key, strings.Fields(l))
			pins = append(pins, p)
		}
		if err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return pins
}

func parsePin(key string, fields []string) (pin, error) {
	p := pin{key: key, hasher: fields[0]}
	for _, s := range fields[1:] {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return p, err
		}
		p.partitions = append(p.partitions, int32(n))
	}
	if len(p.partitions) != len(placedAmong) {
		return p, fmt.Errorf("%d partitions, want %d", len(p.partitions), len(placedAmong))
	}
	return p, nil
}

func TestPlacementIsPinned(t *testing.T) {
	keys := map[string]int{}
	for _, p := range readPins(t) {
		h, ok := HasherByName(p.hasher)
		if !ok {
			t.Fatalf("no hasher %q", p.hasher)
		}
		keys[p.hasher]++
		for i, n := range placedAmong {
			if got := h.Partition([]byte(p.key), n); got != p.partitions[i] {
				t.Errorf("%s of %q among %d = %d, pinned %d", p.hasher, p.key, n, got, p.partitions[i])
			}
		}
	}
	if keys[FNV1a.Name] < 50 || keys[Murmur2.Name] < 50 {
		t.Fatalf("%v pinned keys, want at least 50 of each hasher", keys)
	}
}
