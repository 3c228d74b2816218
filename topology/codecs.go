package topology

import (
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/schema"
)

// appender makes an Appender of the user's codec. goka's own codecs are replaced
// by ones with the same bytes that make less garbage.
func appender(c goka.Codec) schema.Appender {
	switch c.(type) {
	case *codec.Int64:
		return schema.Boxed(schema.Int64())
	case *codec.String:
		return schema.Boxed(schema.String())
	case *codec.Bytes:
		return schema.Boxed(schema.Bytes())
	}
	return schema.Appending(c)
}
