package record

// Hasher places keys on partitions: topics that share a hasher and a partition
// count have equal keys in partitions of equal number. Hashers are values;
// compare them by Name.
type Hasher struct {
	// Name is "fnv1a" or "murmur2"; it is part of a topology's fingerprint.
	Name string
	// Partition returns the partition of key among n partitions, n >= 1. It does
	// not allocate and may be called from any number of goroutines.
	Partition func(key []byte, n int32) int32
}

// FNV1a places keys as goka and sarama do by default: the 32-bit FNV-1a hash of
// the key, taken as a signed number, its absolute remainder.
var FNV1a = Hasher{Name: "fnv1a", Partition: fnvPartition}

// Murmur2 places keys as the Java client and franz-go do by default: Kafka's
// murmur2 hash of the key with the sign bit cleared, its remainder.
var Murmur2 = Hasher{Name: "murmur2", Partition: murmurPartition}

// HasherByName returns the hasher of that name, false where there is none.
func HasherByName(name string) (Hasher, bool) {
	switch name {
	case FNV1a.Name:
		return FNV1a, true
	case Murmur2.Name:
		return Murmur2, true
	}
	return Hasher{}, false
}

func fnvPartition(key []byte, n int32) int32 { return absoluteRemainder(fnv32a(key), n) }

func murmurPartition(key []byte, n int32) int32 {
	return int32(murmur2(key)&0x7fffffff) % n
}

// absoluteRemainder takes the remainder before the sign, as sarama's producer
// does: the other way round the smallest int32 would stay negative.
func absoluteRemainder(h uint32, n int32) int32 {
	p := int32(h) % n
	if p < 0 {
		return -p
	}
	return p
}

func fnv32a(key []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range key {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

const (
	murmurSeed  uint32 = 0x9747b28c
	murmurMul   uint32 = 0x5bd1e995
	murmurShift        = 24
)

// murmur2 is org.apache.kafka.common.utils.Utils.murmur2.
func murmur2(b []byte) uint32 {
	h := murmurSeed ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= murmurMul
		k ^= k >> murmurShift
		h = h*murmurMul ^ k*murmurMul
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * murmurMul
	}
	h ^= h >> 13
	h *= murmurMul
	return h ^ h>>15
}
