package task

// decoder is the part of a codec that reads.
type decoder interface {
	Decode(data []byte) (any, error)
}

// copying is implemented by codecs whose decoded values share no memory with the
// bytes they are decoded from.
type copying interface{ DecodesCopy() bool }

// decodesCopy reports whether the codec may be handed memory that will change.
func decodesCopy(codec decoder) bool {
	c, ok := codec.(copying)
	return ok && c.DecodesCopy()
}
