package schema_test

import (
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/schema"
)

func ExampleInt64() {
	c := schema.Int64()
	data, _ := c.Append(nil, 42)
	n, _ := c.Decode(data)
	fmt.Println(string(data), n)
	_, err := c.Decode([]byte("many"))
	fmt.Println(err)
	// Output:
	// 42 42
	// schema: int64 cannot decode 4 bytes: strconv.ParseInt: parsing "many": invalid syntax
}

func ExampleJSON() {
	type Click struct {
		User string `json:"user"`
		Page string `json:"page"`
	}
	c := schema.JSON[Click]()
	data, _ := c.Append(nil, Click{"ann", "/home"})
	fmt.Println(string(data))
	v, _ := c.Decode([]byte(`{"user":"bob","page":"/"}`))
	fmt.Println(v.User, v.Page)
	// Output:
	// {"user":"ann","page":"/home"}
	// bob /
}

func ExampleAvro() {
	type Click struct {
		User  string `avro:"user"`
		Count int64  `avro:"count"`
	}
	c, err := schema.Avro[Click](`{"type":"record","name":"click","fields":[
		{"name":"user","type":"string"},
		{"name":"count","type":"long"}]}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, _ := c.Append(nil, Click{"ann", 3})
	fmt.Printf("%x\n", data)
	v, _ := c.Decode(data)
	fmt.Println(v.User, v.Count)
	// Output:
	// 06616e6e06
	// ann 3
}

func ExampleAvroGeneric() {
	c, err := schema.AvroGeneric(`{"type":"record","name":"click","fields":[{"name":"user","type":"string"}]}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, _ := c.Decode([]byte("\x06ann"))
	fmt.Println(v)
	// Output: map[user:ann]
}

func ExampleProto() {
	c := schema.Proto[*wrapperspb.StringValue]()
	data, _ := c.Append(nil, wrapperspb.String("ann"))
	v, _ := c.Decode(data)
	fmt.Printf("%x %s\n", data, v.GetValue())
	// Output: 0a03616e6e ann
}

// A typed codec goes wherever goka expects one of its own.
func ExampleBoxed() {
	var c goka.Codec = schema.Boxed(schema.Int64())
	data, _ := c.Encode(int64(7))
	v, _ := c.Decode(data)
	fmt.Println(string(data), v)
	_, err := c.Encode("seven")
	fmt.Println(err)
	// Output:
	// 7 7
	// schema: int64 cannot encode: value is a string, not a int64
}
