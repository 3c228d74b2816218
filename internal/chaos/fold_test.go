package chaos

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/topology"
)

// fold is what is known of a key: how many records it has had, and a hash of which
// ones in which order. So a record that is lost, doubled, exchanged or out of
// order shows in every later fold of its key.
type fold struct{ N, Hash uint64 }

func (f fold) add(seq uint64) fold { return fold{f.N + 1, (f.Hash ^ seq) * 1099511628211} }

// folding emits and keeps the fold of each key, once a record.
func folding(group, in, out string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), seqCodec{}, func(ctx goka.Context, msg any) {
			f, _ := ctx.Value().(fold)
			f = f.add(msg.(uint64))
			ctx.SetValue(f)
			ctx.Emit(goka.Stream(out), ctx.Key(), f)
		}),
		topology.Persist(foldCodec{}),
		topology.Output(goka.Stream(out), foldCodec{}),
	)
}

// seqCodec is of the input: the number of the record.
type seqCodec struct{}

func (seqCodec) Encode(v any) ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, v.(uint64)), nil
}

func (seqCodec) Decode(b []byte) (any, error) { return parseSeq(b) }

func parseSeq(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%d bytes are no number of a record", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// foldCodec is of the table and the output.
type foldCodec struct{}

func (foldCodec) Encode(v any) ([]byte, error) {
	f := v.(fold)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, f.N), f.Hash), nil
}

func (foldCodec) Decode(b []byte) (any, error) { return parseFold(b) }

func parseFold(b []byte) (fold, error) {
	if len(b) != 16 {
		return fold{}, fmt.Errorf("%d bytes are no fold", len(b))
	}
	return fold{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// keyOf names a key by its number.
func keyOf(k int) []byte { return fmt.Appendf(nil, "k%06d", k) }

func parseKey(b []byte, keys int) (int, error) {
	if len(b) < 2 || b[0] != 'k' {
		return 0, fmt.Errorf("%q is no key", b)
	}
	k, err := strconv.Atoi(string(b[1:]))
	if err != nil || k >= keys {
		return 0, fmt.Errorf("%q is no key", b)
	}
	return k, nil
}
