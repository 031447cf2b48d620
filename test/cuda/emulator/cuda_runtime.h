/*
 * cuda_runtime.h: CUDA's additions to C++, as far as cuda/ uses them, for a plain compiler.
 */
#ifndef EMULATOR_CUDA_RUNTIME_H
#define EMULATOR_CUDA_RUNTIME_H

#define CUDA_EMULATED 1

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "cuda_runtime_api.h"
#include "emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct dim3
{
	unsigned	x,
				y,
				z;

	dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };

static inline float2
make_float2(float x, float y)
{
	return float2 {x, y};
}

#define threadIdx (emulator_self->index)
#define blockIdx (emulator_self->block_index)
#define blockDim (emulator_self->block_dim)
#define gridDim (emulator_self->grid_dim)

/* A launch: the arguments are copied now, the threads run when the stream is synchronised. */
template <typename... P>
struct emulator_launch
{
	void		(*kernel) (P...);
	std::tuple<P...> arguments;
	emulator_kernel call;

	static void
	body(const void *data)
	{
		const emulator_launch *l = static_cast<const emulator_launch *>(data);

		std::apply(l->kernel, l->arguments);
	}
	static void
	run(void *data)
	{
		emulator_run_kernel(&static_cast<emulator_launch *>(data)->call);
	}
	static void
	destroy(void *data)
	{
		delete static_cast<emulator_launch *>(data);
	}
};

template <typename... P, typename... A>
static void
emulator_start(void (*kernel) (P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
			   A... arguments)
{
	auto		l = new emulator_launch<P...> {kernel, std::tuple<P...> (arguments...), {}};

	l->call = emulator_kernel {emulator_launch<P...>::body, l, {grid.x, grid.y, grid.z},
		{block.x, block.y, block.z}, shared};
	emulator_work work = {emulator_launch<P...>::run, emulator_launch<P...>::destroy, l};
	emulator_enqueue(stream, &work);
}

#define LAUNCH(kernel, grid, block, shared, stream, ...) \
	emulator_start((kernel), (grid), (block), (shared), (stream), __VA_ARGS__)

#define DYNAMIC_SHARED(name) unsigned char *name = (unsigned char *) emulator_dynamic_shared()
#define SHARED_ARRAY(type, name, count) \
	static emulator_site name##_site; \
	type (&name)[count] = *(type (*)[count]) emulator_static_shared(&name##_site, sizeof(type) * (count))

template <typename F>
static cudaError_t
cudaFuncSetAttribute(F *kernel, cudaFuncAttribute attribute, int value)
{
	(void) kernel;
	(void) attribute;
	return value <= EMULATOR_SHARED ? cudaSuccess : cudaErrorInvalidValue;
}

static inline void
__syncthreads()
{
	emulator_sync_threads();
}

static inline void
__syncwarp(unsigned mask = 0xFFFFFFFFu)
{
	emulator_exchange(mask, nullptr, 0);
}

static inline unsigned
emulator_lane()
{
	return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % EMULATOR_WARP;
}

/* The value that lane `from` brought. */
template <typename T>
static T
emulator_take(unsigned mask, T value, unsigned from)
{
	const unsigned char *slots = emulator_exchange(mask, &value, sizeof(T));

	if ((mask >> from & 1) == 0)
		emulator_abort("a lane reads from lane %u, which is not in the mask %08x", from, mask);
	memcpy(&value, slots + from * EMULATOR_SLOT, sizeof(T));
	return value;
}

template <typename T>
static T
__shfl_sync(unsigned mask, T value, int from, int width = EMULATOR_WARP)
{
	unsigned	lane = emulator_lane();

	return emulator_take(mask, value,
						 (lane & ~(unsigned) (width - 1)) | ((unsigned) from & (unsigned) (width - 1)));
}

template <typename T>
static T
__shfl_xor_sync(unsigned mask, T value, int bits, int width = EMULATOR_WARP)
{
	unsigned	lane = emulator_lane();
	unsigned	from = lane ^ (unsigned) bits;

	return emulator_take(mask, value, from / (unsigned) width == lane / (unsigned) width ? from : lane);
}

static inline unsigned
__ballot_sync(unsigned mask, int predicate)
{
	const unsigned char *slots = emulator_exchange(mask, &predicate, sizeof(predicate));
	unsigned	out = 0;

	for (unsigned lane = 0; lane < EMULATOR_WARP; lane++)
	{
		int			value = 0;

		if (mask >> lane & 1)
			memcpy(&value, slots + lane * EMULATOR_SLOT, sizeof(value));
		out |= (unsigned) (value != 0) << lane;
	}
	return out;
}

template <typename T>
static T
atomicAdd(T *p, T value)
{
	T			old = *p;

	*p = old + value;
	return old;
}

static inline int
__dp4a(int a, int b, int c)
{
	for (int i = 0; i < 4; i++)
		c += (int) (signed char) (a >> 8 * i) * (int) (signed char) (b >> 8 * i);
	return c;
}

static inline float
rsqrtf(float x)
{
	return 1 / sqrtf(x);
}

using std::isfinite;

static inline unsigned
__float_as_uint(float x)
{
	unsigned	bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline float
__uint_as_float(unsigned bits)
{
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

#endif							/* EMULATOR_CUDA_RUNTIME_H */
