// Writes vectors.txt: generated log requests, the text of their record's body and the hash of their resource's
// attributes, as pdata and pkg/pdatautil have them. The same seed gives the same file. Run by check.sh.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatautil"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

var random = rand.New(rand.NewPCG(1, 2))

func pick[T any](values ...T) T { return values[random.IntN(len(values))] }

// Strings with characters that JSON or Go treats specially, and broken UTF-8.
func text() string {
	var bytes []byte
	for range random.IntN(6) {
		switch random.IntN(6) {
		case 0:
			bytes = append(bytes, byte(random.IntN(256)))
		case 1:
			bytes = append(bytes, byte(random.IntN(32)))
		case 2:
			bytes = append(bytes, pick("\u2028", "\u2029", "\u2027", "é", "😀", "\ufffd", "\x7f", `"`, `\`, "<", "&", "/")...)
		default:
			bytes = append(bytes, pick("a", "b", "c")...)
		}
	}
	return string(bytes)
}

func number() float64 {
	switch random.IntN(8) {
	case 0:
		return pick(0, math.Copysign(0, -1), 1e21, 1e20, 1e-6, 1e-7, 5e-324, math.MaxFloat64, 999999999999999900000)
	case 1:
		return float64(random.IntN(100000)) / 100
	case 2:
		return math.Pow(10, float64(random.IntN(60)-30)) * random.Float64()
	case 3:
		return math.Ldexp(1, random.IntN(2000)-1000)
	case 4:
		return pick(math.NaN(), math.Inf(1), math.Inf(-1), 1.5, 1.5, 1.5, 1.5, 1.5)
	case 5:
		// Often as close to the shortest digits above as to those below.
		return float64(random.Int64N(1<<53)) / pick(4.0, 8, 16, 32)
	default:
		return math.Float64frombits(random.Uint64())
	}
}

func fill(value pcommon.Value, depth int) {
	kinds := 11
	if depth == 0 {
		kinds = 8
	}
	switch random.IntN(kinds) {
	case 0, 1:
		value.SetStr(text())
	case 2:
		value.SetInt(int64(random.Uint64()) >> random.IntN(64))
	case 3, 4:
		value.SetDouble(number())
	case 5:
		value.SetBool(random.IntN(2) == 0)
	case 6:
		value.SetEmptyBytes().FromRaw([]byte(text()))
	case 7: // empty
	case 8:
		values := value.SetEmptySlice()
		for range random.IntN(4) {
			fill(values.AppendEmpty(), depth-1)
		}
	default:
		fillMap(value.SetEmptyMap(), depth-1)
	}
}

func fillMap(entries pcommon.Map, depth int) {
	for n := range random.IntN(5) {
		fill(entries.PutEmpty(fmt.Sprintf("k%d", n)), depth)
	}
}

// Gives entries other names of the same length, which are neither sorted nor distinct: no method of pdata does.
func rename(request []byte) {
	for at := 2; at+1 < len(request); at++ {
		if request[at-2] == 0x0a && request[at-1] == 2 && request[at] == 'k' && request[at+1]-'0' < 5 {
			request[at], request[at+1] = pick[byte]('a', 'b', 0xff, 'z'), pick[byte]('a', 'b', '"', '\n')
		}
	}
}

func main() {
	for range 400 {
		logs := plog.NewLogs()
		group := logs.ResourceLogs().AppendEmpty()
		fillMap(group.Resource().Attributes(), 2)
		fill(group.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body(), 4)
		request, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
		if err != nil {
			panic(err)
		}
		rename(request)
		if logs, err = (&plog.ProtoUnmarshaler{}).UnmarshalLogs(request); err != nil {
			panic(err)
		}
		group = logs.ResourceLogs().At(0)
		body := group.ScopeLogs().At(0).LogRecords().At(0).Body().AsString()
		hash := pdatautil.MapHash(group.Resource().Attributes())
		fmt.Printf("%x %s. %s\n", request, base64.StdEncoding.EncodeToString([]byte(body)), hex.EncodeToString(hash[:]))
	}
}
