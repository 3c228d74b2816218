package balance_test

import (
	"fmt"

	"github.com/seed-73111be4/kappa/internal/kafka/balance"
)

// One member owns all four tasks when a second one joins. Two tasks move, in two
// steps: they are taken from the first, and given to the second once the first
// has let go.
func ExampleCompute() {
	shape := balance.Shape{Fingerprint: "f", Hasher: "fnv1a", Inputs: []string{"clicks", "users-table"}}
	partitions := map[string]int32{"clicks": 4, "users-table": 4}
	owned := func(tasks ...int32) map[string][]int32 {
		return map[string][]int32{"clicks": tasks, "users-table": tasks}
	}
	members := []balance.Member{
		{ID: "1", Join: balance.Join{Instance: "first", Shape: shape, Generation: 7, Owned: owned(0, 1, 2, 3)}},
		{ID: "2", Join: balance.Join{Instance: "second", Shape: shape, Generation: -1}},
	}
	show := func() {
		assignments, err := balance.Compute(members, partitions)
		if err != nil {
			fmt.Println(err)
			return
		}
		for i, a := range assignments {
			fmt.Println(members[i].Join.Instance, a.Tasks)
		}
	}
	show()
	members[0].Join.Owned, members[0].Join.Generation = owned(0, 1), 8
	show()
	// Output:
	// first [0 1]
	// second []
	// first [0 1]
	// second [2 3]
}
