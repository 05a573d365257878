package repository

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Carts in a Redis Cluster are found by these names in all releases.
func TestNamesOfKeysStayTheSame(t *testing.T) {
	t.Parallel()
	one, cluster := keys{tags: []string{""}}, keys{}
	for _, tag := range slotTags {
		cluster.tags = append(cluster.tags, "{"+tag+"}")
	}
	require.Equal(t, "cart:usr_1 cart:usr_1:orders cart:usr_1:moving carts:dirty",
		strings.Join([]string{one.cart("usr_1"), one.orders("usr_1"), one.moving("usr_1"), one.dirty("usr_1")}, " "))
	require.Equal(t, "cart:{43}usr_1 carts:dirty:{43}", cluster.cart("usr_1")+" "+cluster.dirty("usr_1"))
	require.Equal(t, "cart:{23}gst_2:orders cart:{23}gst_2:moving", cluster.orders("gst_2")+" "+cluster.moving("gst_2"))
}

func TestPartitionsAreSpreadEvenlyOverSlotsAndOwnersOverPartitions(t *testing.T) {
	t.Parallel()
	require.Len(t, slotTags, 64)
	for i, tag := range slotTags {
		require.Equal(t, i, int(crc16(tag))%16384/256, tag)
	}
	k := keys{tags: slotTags}
	owners := make([]int, len(slotTags))
	for i := range 64_000 {
		owners[k.partition("usr_"+strconv.Itoa(i))]++
	}
	for p, n := range owners {
		require.InDelta(t, 1000, n, 150, "partition %d", p)
	}
}

// crc16 is the hash by which Redis finds a key's slot: CRC-16/XMODEM.
func crc16(s string) (crc uint16) {
	for _, b := range []byte(s) {
		crc ^= uint16(b) << 8
		for range 8 {
			if carry := crc&0x8000 != 0; carry {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
