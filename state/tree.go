package state

import "bytes"

// node is a treap: a search tree by key that is a heap by prio, which is the
// key's hash, so its expected depth is logarithmic. Nodes never change: a write
// copies the path to the root, and older roots stay readable without locks.
type node struct {
	left, right *node
	prio        uint64
	key, value  []byte
}

const nodeBytes = 96 // of a node without its key and value, about

func (r *memoryRoot) apply(key, value []byte, deleted bool) {
	old := r.tree.find(key)
	if old != nil {
		r.bytes -= old.size()
	}
	if deleted {
		if old != nil {
			r.tree = r.tree.without(key)
		}
		return
	}
	n := &node{
		prio:  priority(key),
		key:   append(make([]byte, 0, len(key)), key...),
		value: append(make([]byte, 0, len(value)), value...),
	}
	r.bytes += n.size()
	r.tree = r.tree.with(n)
}

func (n *node) size() int64 { return int64(len(n.key) + len(n.value) + nodeBytes) }

func (n *node) find(key []byte) *node {
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n
		}
	}
	return nil
}

// with returns the tree with m in it, in the place of m's key.
func (n *node) with(m *node) *node {
	if n == nil {
		return m
	}
	t := *n
	switch c := bytes.Compare(m.key, n.key); {
	case c == 0:
		m.left, m.right = n.left, n.right
		return m
	case c < 0:
		l := n.left.with(m)
		if l.prio <= t.prio {
			t.left = l
			return &t
		}
		t.left, l.right = l.right, &t
		return l
	default:
		r := n.right.with(m)
		if r.prio <= t.prio {
			t.right = r
			return &t
		}
		t.right, r.left = r.left, &t
		return r
	}
}

// without returns the tree without key.
func (n *node) without(key []byte) *node {
	if n == nil {
		return nil
	}
	t := *n
	switch c := bytes.Compare(key, n.key); {
	case c == 0:
		return join(n.left, n.right)
	case c < 0:
		t.left = n.left.without(key)
	default:
		t.right = n.right.without(key)
	}
	return &t
}

// join merges two trees, all of whose keys are in order.
func join(a, b *node) *node {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	if a.prio > b.prio {
		t := *a
		t.right = join(a.right, b)
		return &t
	}
	t := *b
	t.left = join(a, b.left)
	return &t
}

// treeIterator walks one version of a tree.
type treeIterator struct {
	stack []*node // the nodes whose left side has been seen
	at    *node
	to    []byte
}

func (it *treeIterator) seek(n *node, from []byte) {
	for n != nil {
		if bytes.Compare(n.key, from) < 0 {
			n = n.right
			continue
		}
		it.stack = append(it.stack, n)
		n = n.left
	}
}

func (it *treeIterator) Next() bool {
	if len(it.stack) == 0 {
		it.at = nil
		return false
	}
	n := it.stack[len(it.stack)-1]
	it.stack = it.stack[:len(it.stack)-1]
	if it.to != nil && bytes.Compare(n.key, it.to) >= 0 {
		it.stack, it.at = nil, nil
		return false
	}
	for m := n.right; m != nil; m = m.left {
		it.stack = append(it.stack, m)
	}
	it.at = n
	return true
}

func (it *treeIterator) Key() []byte   { return it.at.key }
func (it *treeIterator) Value() []byte { return it.at.value }
func (it *treeIterator) Close() error  { return nil }

// priority mixes a key to a number (FNV-1a, then a finalizer), the same in every
// run, so that a tree's shape depends on its keys only.
func priority(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range key {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}
