package schema

import (
	"fmt"
	"reflect"
)

// decodeError says which codec could not read how much, and why.
func decodeError(codec any, data []byte, err error) error {
	return fmt.Errorf("schema: %s cannot decode %d bytes: %w", Name(codec), len(data), err)
}

func encodeError(codec any, err error) error {
	return fmt.Errorf("schema: %s cannot encode: %w", Name(codec), err)
}

// Name returns how the codec calls itself (its String method), else its type,
// and "none" where it is nil.
func Name(codec any) string {
	if codec == nil {
		return "none"
	}
	if s, ok := codec.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", codec)
}

func typeName[T any]() string { return reflect.TypeFor[T]().String() }
