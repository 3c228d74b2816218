package task

import "bytes"

// copying is implemented by codecs whose decoded values share no memory with the
// bytes they are decoded from.
type copying interface{ DecodesCopy() bool }

// owned returns data as the codec may keep it.
func owned(codec any, data []byte) []byte {
	if c, ok := codec.(copying); ok && c.DecodesCopy() {
		return data
	}
	return bytes.Clone(data)
}
