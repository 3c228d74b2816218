package schema

import (
	"strconv"
)

// Int64 writes an integer in decimal, as goka's codec.Int64 does.
func Int64() Codec[int64] { return int64Codec{} }

// String writes a string as its bytes, as goka's codec.String does.
func String() Codec[string] { return stringCodec{} }

// Bytes copies bytes, both ways.
func Bytes() Codec[[]byte] { return bytesCodec{} }

type int64Codec struct{}

func (int64Codec) String() string { return "int64" }

func (int64Codec) Append(dst []byte, v int64) ([]byte, error) {
	return strconv.AppendInt(dst, v, 10), nil
}

func (c int64Codec) Decode(data []byte) (int64, error) {
	if v, ok := decimal(data); ok {
		return v, nil
	}
	v, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return 0, decodeError(c, data, err)
	}
	return v, nil
}

// decimal reads what Append writes but for the 19 digits that may overflow; ok is
// false where strconv has to judge.
func decimal(data []byte) (v int64, ok bool) {
	digits := data
	if len(data) > 0 && data[0] == '-' {
		digits = data[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		v = v*10 + int64(d-'0')
	}
	if len(digits) < len(data) {
		v = -v
	}
	return v, true
}

type stringCodec struct{}

func (stringCodec) String() string { return "string" }

func (stringCodec) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }

func (stringCodec) Decode(data []byte) (string, error) { return string(data), nil }

type bytesCodec struct{}

func (bytesCodec) String() string { return "bytes" }

func (bytesCodec) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }

func (bytesCodec) Decode(data []byte) ([]byte, error) { return append([]byte{}, data...), nil }
