package record

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"
)

// gokaPartition is what goka's default producer does: sarama's hash partitioner
// over hash/fnv.
func gokaPartition(key string, n int32) int32 {
	h := fnv.New32a()
	h.Write([]byte(key))
	p := int32(h.Sum32()) % n
	if p < 0 {
		p = -p
	}
	return p
}

func sampleKeys() []string {
	keys := []string{"", "a", "EWR-IAH", "ORD-SFO", "UA1545", "schlüssel", "键", "\x00", "\xff\xfe", "user-2147483647"}
	for i := range 200 {
		keys = append(keys, fmt.Sprintf("key-%d", i*7919))
	}
	return keys
}

func TestFNV1aPlacesKeysAsGokaDoes(t *testing.T) {
	for _, key := range sampleKeys() {
		for _, n := range []int32{1, 2, 3, 8, 17, 1000, math.MaxInt32} {
			if got, want := FNV1a.Partition([]byte(key), n), gokaPartition(key, n); got != want {
				t.Errorf("FNV1a of %q among %d = %d, goka places it on %d", key, n, got, want)
			}
		}
	}
}

func TestFNV1aOfTheSmallestHashIsAPartition(t *testing.T) {
	for _, n := range []int32{1, 3, 7, 8} {
		if p := absoluteRemainder(1<<31, n); p < 0 || p >= n {
			t.Errorf("hash -2^31 among %d = %d", n, p)
		}
	}
	if p := absoluteRemainder(1<<31, 7); p != 2 { // 2147483648 mod 7
		t.Errorf("hash -2^31 among 7 = %d, want 2", p)
	}
}

// The values are those of Kafka's UtilsTest.testMurmur2.
func TestMurmur2HashesAsTheJavaClientDoes(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107, // as bytes there
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
		for _, n := range []int32{1, 5, 12} {
			if got, want := Murmur2.Partition([]byte(key), n), (want&0x7fffffff)%n; got != want {
				t.Errorf("Murmur2 of %q among %d = %d, want %d", key, n, got, want)
			}
		}
	}
}

func TestHashersDoNotAllocate(t *testing.T) {
	key := []byte("a-little-bit-longer-string")
	for _, h := range []Hasher{FNV1a, Murmur2} {
		if n := testing.AllocsPerRun(100, func() { h.Partition(key, 12) }); n != 0 {
			t.Errorf("%s: %v allocations a key", h.Name, n)
		}
	}
}

func TestHasherByNameKnowsBothAndNoOther(t *testing.T) {
	for _, want := range []Hasher{FNV1a, Murmur2} {
		if got, ok := HasherByName(want.Name); !ok || got.Name != want.Name || got.Partition == nil {
			t.Errorf("HasherByName(%q) = %v, %v", want.Name, got.Name, ok)
		}
	}
	if _, ok := HasherByName("crc32"); ok {
		t.Error("HasherByName knows crc32")
	}
}

func BenchmarkHashers(b *testing.B) {
	key := []byte("EWR-IAH-2013-01-01")
	for _, h := range []Hasher{FNV1a, Murmur2} {
		b.Run(h.Name, func(b *testing.B) {
			for b.Loop() {
				h.Partition(key, 12)
			}
		})
	}
}
