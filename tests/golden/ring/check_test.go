// Compares ring.json with the ring code of one Collector release.
//
// check.sh copies this file beside that release's consistent_hashing.go, whose functions are private to its package,
// and names the generation and the vector file in the environment.

package loadbalancingexporter

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"sort"
	"testing"
)

type vectors struct {
	TraceIDs []string `json:"trace_ids"`
	Cases    []struct {
		Endpoints     []string          `json:"endpoints"`
		PointsKept    map[string]int    `json:"points_kept"`
		RingCRC       map[string]string `json:"ring_crc"`
		Keys          []map[string]any  `json:"keys"`
		TraceIDOwners map[string][]int  `json:"trace_id_owners"`
		LogTextOwners map[string][]int  `json:"log_text_owners"`
	} `json:"cases"`
	TieRegressions []struct {
		Endpoints []string         `json:"endpoints"`
		Keys      []map[string]any `json:"keys"`
	} `json:"tie_regressions"`
	ProbeRegressions struct {
		Family string           `json:"family"`
		N      int              `json:"n"`
		Keys   []map[string]any `json:"keys"`
	} `json:"probe_regressions"`
	Lookup []struct {
		Positions []uint32 `json:"positions"`
		Queries   [][]*int `json:"queries"`
	} `json:"lookup"`
	Single struct {
		Endpoint  string           `json:"endpoint"`
		Positions map[string][]int `json:"positions"`
	} `json:"single"`
	Checksums []map[string]any `json:"checksums"`
}

func load(t *testing.T) (vectors, string) {
	text, err := os.ReadFile(os.Getenv("RING_VECTORS"))
	if err != nil {
		t.Fatal(err)
	}
	var all vectors
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Cases) == 0 || len(all.Checksums) == 0 || len(all.Lookup) == 0 || len(all.TraceIDs) == 0 {
		t.Fatal("the vector file has no vectors")
	}
	return all, os.Getenv("RING_GENERATION")
}

func TestCases(t *testing.T) {
	all, generation := load(t)
	for _, c := range all.Cases {
		ring := newHashRing(c.Endpoints)
		checkRing(t, ring, c.PointsKept[generation], c.RingCRC[generation], c.Endpoints[0])
		for _, key := range c.Keys {
			checkOwner(t, ring, key["key_hex"].(string), key[generation].(string))
		}
		for i, id := range all.TraceIDs {
			checkOwner(t, ring, id, c.Endpoints[c.TraceIDOwners[generation][i]])
			checkOwner(t, ring, hex.EncodeToString([]byte(id)), c.Endpoints[c.LogTextOwners[generation][i]])
		}
	}
}

func TestChecksums(t *testing.T) {
	all, generation := load(t)
	for _, c := range all.Checksums {
		endpoints := family(t, c["family"].(string), int(c["n"].(float64)))
		sort.Strings(endpoints)
		expect := c[generation].([]any)
		checkRing(t, newHashRing(endpoints), int(expect[0].(float64)), expect[1].(string), fmt.Sprint(c["family"], c["n"]))
	}
}

func TestSingle(t *testing.T) {
	all, generation := load(t)
	ring := newHashRing([]string{all.Single.Endpoint})
	expect := all.Single.Positions[generation]
	if len(ring.items) != len(expect) {
		t.Fatalf("%d points, the file has %d", len(ring.items), len(expect))
	}
	for i, item := range ring.items {
		if int(item.pos) != expect[i] {
			t.Errorf("point %d is at %d, the file has %d", i, item.pos, expect[i])
		}
	}
}

func TestLookup(t *testing.T) {
	all, _ := load(t)
	for _, c := range all.Lookup {
		if len(c.Positions) == 1 {
			continue // The release's search panics on one item; a real ring never has one.
		}
		ring := &hashRing{}
		for i, at := range c.Positions {
			ring.items = append(ring.items, ringItem{pos: position(at), endpoint: fmt.Sprint(i)})
		}
		for _, query := range c.Queries {
			expect := ""
			if query[1] != nil {
				expect = fmt.Sprint(*query[1])
			}
			if found := ring.findEndpoint(position(*query[0])); found != expect {
				t.Errorf("position %d of %v: item %q, the file has %q", *query[0], c.Positions, found, expect)
			}
		}
	}
}

func TestRegressions(t *testing.T) {
	all, generation := load(t)
	if generation != "v0.157" {
		t.Skip("these keys are for the newest generation")
	}
	for _, c := range all.TieRegressions {
		for _, key := range c.Keys {
			checkOwner(t, newHashRing(c.Endpoints), key["key_hex"].(string), key["owner"].(string))
		}
	}
	ring := newHashRing(family(t, all.ProbeRegressions.Family, all.ProbeRegressions.N))
	for _, key := range all.ProbeRegressions.Keys {
		checkOwner(t, ring, key["key_hex"].(string), key["owner"].(string))
	}
}

func checkRing(t *testing.T, ring *hashRing, points int, crc, name string) {
	t.Helper()
	sum := crc32.NewIEEE()
	for _, item := range ring.items {
		fmt.Fprintf(sum, "%d,%s\n", item.pos, item.endpoint)
	}
	if found := fmt.Sprintf("%08x", sum.Sum32()); len(ring.items) != points || found != crc {
		t.Errorf("%s: %d points, checksum %s; the file has %d, %s", name, len(ring.items), found, points, crc)
	}
}

func checkOwner(t *testing.T, ring *hashRing, key, expect string) {
	t.Helper()
	identifier, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	if found := ring.endpointFor(identifier); found != expect {
		t.Errorf("key %s belongs to %s, the file has %s", key, found, expect)
	}
}

func family(t *testing.T, spelling string, n int) []string {
	t.Helper()
	endpoints := make([]string, 0, n)
	for i := 0; i < n; i++ {
		switch spelling {
		case "endpoint-{i}":
			endpoints = append(endpoints, fmt.Sprintf("endpoint-%d", i))
		case "10.9.{i div 250}.{i mod 250}:4317":
			endpoints = append(endpoints, fmt.Sprintf("10.9.%d.%d:4317", i/250, i%250))
		case "10.9.{i div 250}.{i mod 250}":
			endpoints = append(endpoints, fmt.Sprintf("10.9.%d.%d", i/250, i%250))
		case "[fd00::{i as lower-case hex}]:4317":
			endpoints = append(endpoints, fmt.Sprintf("[fd00::%x]:4317", i))
		default:
			t.Fatalf("unknown family %s", spelling)
		}
	}
	return endpoints
}
