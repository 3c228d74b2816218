package record

// Hasher places keys on partitions: topics that share a hasher and a partition
// count have equal keys in partitions of equal number. Hashers are values;
// compare them by Name.
type Hasher struct {
	// Name is "fnv1a" or "murmur2"; it is part of a topology's fingerprint.
	Name string
	// Partition returns the partition of key among n partitions, n >= 1.
	Partition func(key []byte, n int32) int32
}
