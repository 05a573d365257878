package repository

import (
	"errors"
	"hash/crc32"
	"strings"
	"sync"

	"github.com/redis/rueidis"
)

// slotTags are the hash tags of the partitions of a cluster. They are chosen so that each is in another 64th of the
// hash slots, in order: masters that have equal ranges of slots have an equal number of partitions, or one more. Carts
// are found by them, so they never change.
var slotTags = strings.Fields(`
	10 18 113 342 29 21 3 122 69 61 72 162 50 58 153 43 11 19 112 343 28 20 2 123 68 60 73 163 51 59 152 42
	12 102 111 119 133 23 1 9 173 63 70 78 52 142 49 41 13 103 110 118 132 22 0 8 172 62 71 79 53 143 48 40`)

// keys names the keys in Redis. The cart of an owner is the hash cart:OWNER. Beside it are cart:OWNER:orders, the
// orders whose items have left it, and cart:OWNER:moving, lines on their way into another cart. carts:dirty are the
// owners whose carts have changed since they were saved, with the time at which they are due.
//
// A change of a cart marks it as dirty in the same script, and a script may only touch keys of one hash slot. So on a
// cluster carts are divided by owner into partitions. Each has a hash tag and a set of dirty carts: cart:{10}OWNER,
// carts:dirty:{10}. Any other server has one partition, whose keys have no tag.
type keys struct{ tags []string }

func keysOf(client rueidis.Client) keys {
	if client.Mode() != rueidis.ClientModeCluster {
		return keys{tags: []string{""}}
	}
	k := keys{}
	for _, tag := range slotTags {
		k.tags = append(k.tags, "{"+tag+"}")
	}
	return k
}

// partition returns the number of an owner's partition.
func (k keys) partition(owner string) int {
	if len(k.tags) == 1 {
		return 0
	}
	return int(crc32.ChecksumIEEE([]byte(owner)) % uint32(len(k.tags))) //nolint:gosec // 64
}

func (k keys) cart(owner string) string   { return "cart:" + k.tags[k.partition(owner)] + owner }
func (k keys) orders(owner string) string { return k.cart(owner) + ":orders" }
func (k keys) moving(owner string) string { return k.cart(owner) + ":moving" }

// dirty returns the key of the dirty carts of an owner's partition.
func (k keys) dirty(owner string) string { return k.dirtyOf(k.partition(owner)) }

func (k keys) dirtyOf(partition int) string {
	if tag := k.tags[partition]; tag != "" {
		return "carts:dirty:" + tag
	}
	return "carts:dirty"
}

// each calls f for the owners of each partition, for all partitions at the same time. It returns the errors of all
// calls: while a master of a cluster is away, the work for the others is done.
func (k keys) each(owners []string, f func(owners []string) error) error {
	groups := make([][]string, len(k.tags))
	for _, owner := range owners {
		p := k.partition(owner)
		groups[p] = append(groups[p], owner)
	}
	failed := make([]error, len(groups))
	var wg sync.WaitGroup
	for p, group := range groups {
		if len(group) > 0 {
			wg.Go(func() { failed[p] = f(group) })
		}
	}
	wg.Wait()
	return errors.Join(failed...)
}
