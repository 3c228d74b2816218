package kappa

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/views"
)

// codecNames lists what --codec takes.
const codecNames = "avro, json, int64, string or bytes"

// codecOf returns the codec of a name; avro reads its schema from a file.
func codecOf(name, schemaFile string) (views.Codec, error) {
	switch name {
	case "json":
		return schema.Boxed(schema.JSON[json.RawMessage]()), nil // as it is: order and digits stay
	case "int64":
		return schema.Boxed(schema.Int64()), nil
	case "string":
		return schema.Boxed(schema.String()), nil
	case "bytes":
		return schema.Boxed(schema.Bytes()), nil
	case "avro":
		return avroCodec(schemaFile)
	}
	return nil, &usageError{fmt.Errorf("--codec %s: use %s", name, codecNames)}
}

func avroCodec(file string) (views.Codec, error) {
	if file == "" {
		return nil, &usageError{fmt.Errorf("--codec avro: name the file of the schema with --schema")}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c, err := schema.AvroGeneric(string(text))
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	return schema.Boxed(c), nil
}

// tableCodec returns the codec with which the groups read or write a table, by the
// table's topic or its group, and nil where they do not know it.
func tableCodec(table string, plans ...*topology.Plan) views.Codec {
	for _, p := range plans {
		if p.Table != nil && (table == p.Group || table == p.Table.Topic) {
			return p.Table.Codec
		}
		for _, l := range p.Lookups {
			if l.Topic == table {
				return l.Codec
			}
		}
		for _, in := range p.Inputs {
			if in.Kind == topology.JoinInput && in.Topic == table {
				if c, ok := in.Codec.(views.Codec); ok {
					return c
				}
			}
		}
	}
	return nil
}
