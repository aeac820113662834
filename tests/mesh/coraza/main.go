//go:build wasip1

// Coraza, a web application firewall, as a Wasm plugin: a plugin of others to stand beside ours.
//
// Its own main wants TinyGo, for so does the SDK that it stands on. Here Go builds both as they are: the SDK lets a
// host be registered where it is not built by TinyGo (it means a mock, for unit tests), and this is one that asks the
// real host.
package main

import (
	"unsafe"

	"github.com/corazawaf/coraza-proxy-wasm/wasmplugin"
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"
)

func main() {}

func init() {
	proxywasm.SetVMContext(wasmplugin.NewVMContext())
	registerHost(&envoy{})
	// The linker sees no caller of these but by an interface that it takes for another one.
	kept = []any{
		(*envoy).ProxyLog, (*envoy).ProxyGetProperty, (*envoy).ProxySendLocalResponse,
		(*envoy).ProxyGetHeaderMapValue, (*envoy).ProxyGetHeaderMapPairs, (*envoy).ProxyGetBufferBytes,
		(*envoy).ProxySetBufferBytes, (*envoy).ProxyDefineMetric, (*envoy).ProxyIncrementMetric,
	}
}

var kept []any

// What Coraza asks of its host. What it does not ask is not there, and would be a panic.
type envoy struct{ host }

func (*envoy) ProxyLog(level uint32, message *byte, size int) uint32 {
	return proxyLog(level, message, uint32(size))
}

func (*envoy) ProxyGetProperty(path *byte, pathSize int, value **byte, size *int) uint32 {
	return returned(value, size, func(data, length *uint32) uint32 {
		return proxyGetProperty(path, uint32(pathSize), data, length)
	})
}

func (*envoy) ProxySendLocalResponse(status uint32, details *byte, detailsSize int, body *byte, bodySize int,
	headers *byte, headersSize int, grpcStatus int32) uint32 {
	return proxySendLocalResponse(status, details, uint32(detailsSize), body, uint32(bodySize), headers,
		uint32(headersSize), grpcStatus)
}

func (*envoy) ProxyGetHeaderMapValue(kind uint32, key *byte, keySize int, value **byte, size *int) uint32 {
	return returned(value, size, func(data, length *uint32) uint32 {
		return proxyGetHeaderMapValue(kind, key, uint32(keySize), data, length)
	})
}

func (*envoy) ProxyGetHeaderMapPairs(kind uint32, value **byte, size *int) uint32 {
	return returned(value, size, func(data, length *uint32) uint32 {
		return proxyGetHeaderMapPairs(kind, data, length)
	})
}

func (*envoy) ProxyGetBufferBytes(kind uint32, start, most int, value **byte, size *int) uint32 {
	return returned(value, size, func(data, length *uint32) uint32 {
		return proxyGetBufferBytes(kind, uint32(start), uint32(most), data, length)
	})
}

func (*envoy) ProxySetBufferBytes(kind uint32, start, most int, value *byte, size int) uint32 {
	return proxySetBufferBytes(kind, uint32(start), uint32(most), value, uint32(size))
}

func (*envoy) ProxyDefineMetric(kind uint32, name *byte, size int, id *uint32) uint32 {
	return proxyDefineMetric(kind, name, uint32(size), id)
}

func (*envoy) ProxyIncrementMetric(id uint32, offset int64) uint32 {
	return proxyIncrementMetric(id, offset)
}

// What the host returns lies where proxy_on_memory_allocate said, by an address of 32 bits.
func returned(value **byte, size *int, ask func(data, length *uint32) uint32) uint32 {
	var data, length uint32
	status := ask(&data, &length)
	*value, *size = nil, int(length)
	if allocated != nil {
		if uintptr(data) == uintptr(unsafe.Pointer(&allocated[0])) {
			*value = &allocated[0]
		}
		allocated = nil
	}
	return status
}

// What was allocated last, so that it is not collected before it is read.
var allocated []byte

//go:wasmexport proxy_on_memory_allocate
func allocate(size uint32) unsafe.Pointer {
	allocated = make([]byte, max(size, 1))
	return unsafe.Pointer(&allocated[0])
}

//go:wasmexport proxy_abi_version_0_2_0
func abiVersion() {}

//go:wasmexport proxy_on_vm_start
func onVMStart(context, size uint32) bool { return vmStart(context, int(size)) }

//go:wasmexport proxy_on_configure
func onConfigure(context, size uint32) bool { return configure(context, int(size)) }

//go:wasmexport proxy_on_context_create
func onContextCreate(context, plugin uint32) { contextCreate(context, plugin) }

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(context, count, end uint32) uint32 {
	return requestHeaders(context, int(count), end != 0)
}

//go:wasmexport proxy_on_request_body
func onRequestBody(context, size, end uint32) uint32 {
	return requestBody(context, int(size), end != 0)
}

//go:wasmexport proxy_on_request_trailers
func onRequestTrailers(context, count uint32) uint32 { return requestTrailers(context, int(count)) }

//go:wasmexport proxy_on_response_headers
func onResponseHeaders(context, count, end uint32) uint32 {
	return responseHeaders(context, int(count), end != 0)
}

//go:wasmexport proxy_on_response_body
func onResponseBody(context, size, end uint32) uint32 {
	return responseBody(context, int(size), end != 0)
}

//go:wasmexport proxy_on_response_trailers
func onResponseTrailers(context, count uint32) uint32 { return responseTrailers(context, int(count)) }

//go:wasmexport proxy_on_done
func onDone(context uint32) bool { return done(context) }

//go:wasmexport proxy_on_log
func onLog(context uint32) { log(context) }

//go:wasmexport proxy_on_delete
func onDelete(context uint32) { remove(context) }
