//go:build wasip1

package main

import _ "unsafe" // for go:linkname

// The SDK's side of each call from the host, and where it takes its host from. TinyGo exports them by comments that Go
// does not know.

//go:linkname registerHost github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.RegisterMockWasmHost
func registerHost(host) func()

//go:linkname vmStart github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnVMStart
func vmStart(context uint32, size int) bool

//go:linkname configure github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnConfigure
func configure(context uint32, size int) bool

//go:linkname contextCreate github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnContextCreate
func contextCreate(context, plugin uint32)

//go:linkname requestHeaders github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnRequestHeaders
func requestHeaders(context uint32, count int, end bool) uint32

//go:linkname requestBody github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnRequestBody
func requestBody(context uint32, size int, end bool) uint32

//go:linkname requestTrailers github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnRequestTrailers
func requestTrailers(context uint32, count int) uint32

//go:linkname responseHeaders github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnResponseHeaders
func responseHeaders(context uint32, count int, end bool) uint32

//go:linkname responseBody github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnResponseBody
func responseBody(context uint32, size int, end bool) uint32

//go:linkname responseTrailers github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnResponseTrailers
func responseTrailers(context uint32, count int) uint32

//go:linkname done github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnDone
func done(context uint32) bool

//go:linkname log github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnLog
func log(context uint32)

//go:linkname remove github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/internal.proxyOnDelete
func remove(context uint32)

// The SDK's ProxyWasmHost, method by method: what is called is found by its place among the names.
type host interface {
	ProxyLog(uint32, *byte, int) uint32
	ProxySetProperty(*byte, int, *byte, int) uint32
	ProxyGetProperty(*byte, int, **byte, *int) uint32
	ProxySendLocalResponse(uint32, *byte, int, *byte, int, *byte, int, int32) uint32
	ProxyGetSharedData(*byte, int, **byte, *int, *uint32) uint32
	ProxySetSharedData(*byte, int, *byte, int, uint32) uint32
	ProxyRegisterSharedQueue(*byte, int, *uint32) uint32
	ProxyResolveSharedQueue(*byte, int, *byte, int, *uint32) uint32
	ProxyDequeueSharedQueue(uint32, **byte, *int) uint32
	ProxyEnqueueSharedQueue(uint32, *byte, int) uint32
	ProxyGetHeaderMapValue(uint32, *byte, int, **byte, *int) uint32
	ProxyAddHeaderMapValue(uint32, *byte, int, *byte, int) uint32
	ProxyReplaceHeaderMapValue(uint32, *byte, int, *byte, int) uint32
	ProxyContinueStream(uint32) uint32
	ProxyCloseStream(uint32) uint32
	ProxyRemoveHeaderMapValue(uint32, *byte, int) uint32
	ProxyGetHeaderMapPairs(uint32, **byte, *int) uint32
	ProxySetHeaderMapPairs(uint32, *byte, int) uint32
	ProxyGetBufferBytes(uint32, int, int, **byte, *int) uint32
	ProxySetBufferBytes(uint32, int, int, *byte, int) uint32
	ProxyHttpCall(*byte, int, *byte, int, *byte, int, *byte, int, uint32, *uint32) uint32
	ProxyCallForeignFunction(*byte, int, *byte, int, **byte, *int) uint32
	ProxySetTickPeriodMilliseconds(uint32) uint32
	ProxySetEffectiveContext(uint32) uint32
	ProxyDone() uint32
	ProxyDefineMetric(uint32, *byte, int, *uint32) uint32
	ProxyIncrementMetric(uint32, int64) uint32
	ProxyRecordMetric(uint32, uint64) uint32
	ProxyGetMetric(uint32, *uint64) uint32
}

//go:wasmimport env proxy_log
func proxyLog(level uint32, message *byte, size uint32) uint32

//go:wasmimport env proxy_get_property
func proxyGetProperty(path *byte, pathSize uint32, value, size *uint32) uint32

//go:wasmimport env proxy_send_local_response
func proxySendLocalResponse(status uint32, details *byte, detailsSize uint32, body *byte, bodySize uint32,
	headers *byte, headersSize uint32, grpcStatus int32) uint32

//go:wasmimport env proxy_get_header_map_value
func proxyGetHeaderMapValue(kind uint32, key *byte, keySize uint32, value, size *uint32) uint32

//go:wasmimport env proxy_get_header_map_pairs
func proxyGetHeaderMapPairs(kind uint32, value, size *uint32) uint32

//go:wasmimport env proxy_get_buffer_bytes
func proxyGetBufferBytes(kind, start, most uint32, value, size *uint32) uint32

//go:wasmimport env proxy_set_buffer_bytes
func proxySetBufferBytes(kind, start, most uint32, value *byte, size uint32) uint32

//go:wasmimport env proxy_define_metric
func proxyDefineMetric(kind uint32, name *byte, size uint32, id *uint32) uint32

//go:wasmimport env proxy_increment_metric
func proxyIncrementMetric(id uint32, offset int64) uint32
