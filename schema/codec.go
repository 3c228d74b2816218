package schema

// Codec turns values of one type into bytes and back, without boxing. It is safe
// for concurrent use.
type Codec[T any] interface {
	// Append appends the encoding of v to dst. On an error the result is dst as
	// it was.
	Append(dst []byte, v T) ([]byte, error)
	// Decode returns the value. It shares no memory with data.
	Decode(data []byte) (T, error)
}

// Appender is a goka.Codec that can also encode into memory of the caller's.
// [Boxed] makes one of a [Codec], [Appending] one of any goka codec. It is safe
// for concurrent use where the codec is.
type Appender interface {
	// Encode returns the encoding of value in memory of its own.
	Encode(value any) ([]byte, error)
	// Decode returns the value. It shares no memory with data.
	Decode(data []byte) (any, error)
	// AppendEncode appends the encoding of value to dst. On an error the result
	// is dst as it was.
	AppendEncode(dst []byte, value any) ([]byte, error)
}
