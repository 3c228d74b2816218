package processors

import (
	"reflect"

	"github.com/lovoo/goka"
)

// EmitHeaders returns the headers that goka.WithCtxEmitHeaders options carry, nil
// where there are none; of several options the later wins. The values are those
// of the options, not copies.
//
// goka keeps what its options set in a type of its own that no other context can
// name. It is reached by inference and read by reflection, without unsafe.
func EmitHeaders(opts ...goka.ContextOption) goka.Headers {
	if len(opts) == 0 {
		return nil
	}
	return readHeaders(applied(opts))
}

// applied makes the unnamed T and runs the options over it.
func applied[T any, O ~func(*T)](opts []O) *T {
	t := new(T)
	for _, o := range opts {
		o(t)
	}
	return t
}

// readHeaders finds the field by its type, so that a new name does no harm. Its
// value may not be read as a goka.Headers, for it is unexported, but entry by
// entry.
func readHeaders(options any) goka.Headers {
	v := reflect.ValueOf(options).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Type() != reflect.TypeFor[goka.Headers]() || f.Len() == 0 {
			continue
		}
		headers := make(goka.Headers, f.Len())
		for it := f.MapRange(); it.Next(); {
			headers[it.Key().String()] = it.Value().Bytes()
		}
		return headers
	}
	return nil
}
