package schema

import "fmt"

// Nothing is the codec of a record whose value nobody looks at: any value is read
// as struct{}{}, without being copied. It writes nothing: encoding is an error,
// for an empty value is rarely what was meant.
func Nothing() Codec[struct{}] { return nothingCodec{} }

type nothingCodec struct{}

func (nothingCodec) String() string { return "nothing" }

func (nothingCodec) Append(dst []byte, _ struct{}) ([]byte, error) {
	return dst, fmt.Errorf("schema: the codec nothing only reads; name the codec of what you write")
}

func (nothingCodec) Decode([]byte) (struct{}, error) { return struct{}{}, nil }
