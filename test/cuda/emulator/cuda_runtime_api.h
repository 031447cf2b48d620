/*
 * cuda_runtime_api.h: the part of the CUDA runtime that cuda/ uses, on a machine without a
 * GPU. Found before the toolkit's header when the tests are compiled.
 *
 * Stricter than a device: work is done at a synchronisation and not before (or, at random, in
 * another order of streams than it came), memory that nobody wrote is NaN, every allocation
 * ends at a page that cannot be touched, and the host cannot touch any.
 */
#ifndef EMULATOR_CUDA_RUNTIME_API_H
#define EMULATOR_CUDA_RUNTIME_API_H

#include <stddef.h>

#ifdef __cplusplus
extern "C"
{
#endif

typedef enum cudaError
{
	cudaSuccess = 0,
	cudaErrorInvalidValue = 1,
	cudaErrorMemoryAllocation = 2,
	cudaErrorInsufficientDriver = 35,
	cudaErrorNoDevice = 100,
	cudaErrorInvalidDevice = 101,
	cudaErrorIllegalAddress = 700,
	cudaErrorLaunchFailure = 719,
	cudaErrorNotSupported = 801
} cudaError_t;

typedef enum cudaMemcpyKind
{
	cudaMemcpyHostToDevice = 1,
	cudaMemcpyDeviceToHost = 2,
	cudaMemcpyDeviceToDevice = 3
} cudaMemcpyKind;

typedef enum cudaFuncAttribute
{
	cudaFuncAttributeMaxDynamicSharedMemorySize = 8
} cudaFuncAttribute;

typedef enum cudaStreamCaptureMode
{
	cudaStreamCaptureModeThreadLocal = 1
} cudaStreamCaptureMode;

typedef enum cudaDeviceAttr
{
	cudaDevAttrMultiProcessorCount = 16,
	cudaDevAttrComputeCapabilityMajor = 75,
	cudaDevAttrComputeCapabilityMinor = 76
} cudaDeviceAttr;

typedef struct cudaDeviceProp
{
	char		name[256];
} cudaDeviceProp;

typedef struct emulator_stream *cudaStream_t;
typedef struct emulator_event *cudaEvent_t;
typedef struct emulator_graph *cudaGraph_t;
typedef struct emulator_graph *cudaGraphExec_t;

#define cudaStreamNonBlocking 1
#define cudaEventDisableTiming 2

extern const char *cudaGetErrorString(cudaError_t code);
extern cudaError_t cudaGetLastError(void);
extern cudaError_t cudaPeekAtLastError(void);

extern cudaError_t cudaGetDeviceCount(int *count);
extern cudaError_t cudaSetDevice(int device);
extern cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device);
extern cudaError_t cudaDeviceGetAttribute(int *out, cudaDeviceAttr attribute, int device);
extern cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);

extern cudaError_t cudaMalloc(void **out, size_t bytes);
extern cudaError_t cudaFree(void *p);
extern cudaError_t cudaMallocHost(void **out, size_t bytes);
extern cudaError_t cudaFreeHost(void *p);
extern cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
								   cudaStream_t stream);
extern cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);

extern cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
extern cudaError_t cudaStreamDestroy(cudaStream_t stream);
extern cudaError_t cudaStreamSynchronize(cudaStream_t stream);
extern cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
extern cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
extern cudaError_t cudaEventDestroy(cudaEvent_t event);
extern cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);

extern cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
extern cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
extern cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph,
										unsigned long long flags);
extern cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
extern cudaError_t cudaGraphDestroy(cudaGraph_t graph);
extern cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);

#ifdef __cplusplus
}
#endif

#endif							/* EMULATOR_CUDA_RUNTIME_API_H */
