// Package schema turns bytes into values and back.
//
// A [Codec] is typed: it appends encodings to memory of the caller's and decodes
// without boxing, so the record path makes no garbage for it. [Int64], [String],
// [Bytes], [JSON], [Avro] and [Proto] make codecs of Go types; [JSONGeneric] and
// [AvroGeneric] read data for which there is no Go type.
//
// An [Appender] is the untyped face: it has the methods of goka.Codec, so it goes
// wherever goka expects one. [Boxed] makes one of a Codec, [Appending] one of a
// foreign goka.Codec.
//
// What a codec of this package decodes shares no memory with its input, and a
// decoding error names the codec, the size of the data and the cause. Codecs
// keep nothing of a value after a call and are safe for concurrent use. Their
// encodings are functions of the value, with one exception: Avro maps are
// written in no fixed order.
package schema
