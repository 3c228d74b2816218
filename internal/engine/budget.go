package engine

import "math"

// share splits Options.MemoryBytes among what a process holds, where the options
// do not say otherwise:
//
//	3/8   cells of state and their index
//	1/8   the store's blocks and memtables
//	1/16  input that waits for the workers
//	1/16  writes of the open transactions
//	1/16  output that is not acknowledged yet
//	1/32  input on its way, and as much that has arrived
//	1/16  what is read ahead from the archive
//
// What is left is for copies of state on their way to disk, for garbage, and for the
// program itself. The shares of input, output and open writes are those of all
// workers of all groups together; none grows beyond what more of it still helps.
func (o *Options) share(groups int) {
	workers := int64(max(1, o.Workers)) * int64(max(1, groups))
	part := func(p *int64, of, n int64, least, most int64) {
		if *p == 0 {
			*p = min(max(o.MemoryBytes/of/n, least), most)
		}
	}
	part(&o.CacheBytes, 8, 1, 8<<20, 1<<30)
	part(&o.QueueBytes, 16, workers, 256<<10, 16<<20)
	part(&o.OverlayBytes, 16, workers, 256<<10, 32<<20)
	part(&o.outputBytes, 32, workers, 1<<20, 16<<20) // as much again for what a record costs beside its bytes
	part(&o.ArchiveBytes, 16, 1, 8<<20, 64<<20)
	part(&o.fetchBytes, 32, int64(max(1, groups)), 1<<20, 64<<20)
}

// stateBytes is what the tasks of the process may hold in memory.
func (o *Options) stateBytes() int64 { return o.MemoryBytes / 8 * 3 }

// fetchLimit is fetchBytes as the fetcher takes it.
func (o *Options) fetchLimit() int32 { return int32(min(o.fetchBytes, math.MaxInt32)) }
