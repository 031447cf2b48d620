/*
 * check_emulator.cu: that the emulator would catch the bugs that it is there to catch: each is
 * planted here, and each is found.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cuda/ptx.cuh"
#include "tap.h"

static cudaStream_t stream;

static void *
device_memory(size_t bytes)
{
	void	   *p = nullptr;

	cudaMalloc(&p, bytes);
	return p;
}

/* Neighbours exchange numbers through shared memory; the barrier may be missing. */
template <bool BARRIER>
static __global__ void
exchange_kernel(float *out)
{
	SHARED_ARRAY(float, numbers, 64);

	numbers[threadIdx.x] = (float) threadIdx.x;
	if (BARRIER)
		__syncthreads();
	out[threadIdx.x] = numbers[63 - threadIdx.x];
}

/* Reads what a warp's other lanes wrote; __syncwarp may be missing. */
template <bool BARRIER>
static __global__ void
warp_kernel(float *out)
{
	SHARED_ARRAY(float, numbers, WARP);

	numbers[threadIdx.x] = (float) threadIdx.x;
	if (BARRIER)
		__syncwarp();
	out[threadIdx.x] = numbers[WARP - 1 - threadIdx.x];
}

/* A tile by asynchronous copy; the wait may be missing. */
template <bool WAIT>
static __global__ void
copy_kernel(float *out, const float *in)
{
	SHARED_ARRAY(float, tile, 4 * WARP);

	copy_async(tile + 4 * threadIdx.x, in + 4 * threadIdx.x, true);
	copy_commit();
	if (WAIT)
		copy_wait<0>();
	__syncthreads();
	for (int i = 0; i < 4; i++)
		out[4 * threadIdx.x + i] = tile[4 * threadIdx.x + i];
}

#if defined(__SANITIZE_THREAD__)
/* All write the same, which no order of the threads shows. */
static __global__ void
same_value_kernel(float *out)
{
	SHARED_ARRAY(float, number, 1);

	number[0] = 1;
	__syncthreads();
	out[threadIdx.x] = number[0];
}
#endif

static __global__ void
divergent_barrier_kernel(int *out)
{
	if (threadIdx.x < 16)
		__syncthreads();
	out[threadIdx.x] = 1;
}

/* Half of the warp votes with the mask of all. */
static __global__ void
wrong_mask_kernel(unsigned *out)
{
	if (threadIdx.x < 16)
		out[threadIdx.x] = __ballot_sync(ALL_LANES, 1);
}

static __global__ void
foreign_mask_kernel(unsigned *out)
{
	out[threadIdx.x] = __ballot_sync(0x0000FFFFu, 1);
}

static __global__ void
absent_lane_kernel(unsigned *out)
{
	if (threadIdx.x < 16)
		out[threadIdx.x] = __shfl_sync(0x0000FFFFu, threadIdx.x, 20);
}

static __global__ void
shared_kernel(float *out, int at)
{
	SHARED_ARRAY(float, numbers, 64);
	/* what is behind an array of known length UBSan would find first; it is not what is tested */
	volatile float *pointer = numbers;

	pointer[at] = 1;
	out[0] = pointer[at];
}

static __global__ void
dynamic_kernel(float *out, int at)
{
	DYNAMIC_SHARED(bytes);

	((float *) bytes)[at] = 1;
	out[0] = ((float *) bytes)[at];
}

static __global__ void
global_kernel(float *out, int at)
{
	out[at] = 1;
}

/* What the kernel computes in each order of its threads: whether it is `good` in all. */
template <typename K, typename... A>
static bool
good_in_each_order(K kernel, int threads, const float *good, A... arguments)
{
	bool		all = true;

	for (int order = EMULATOR_FORWARD; order <= EMULATOR_RANDOM; order++)
	{
		float	   *out = (float *) device_memory(128 * sizeof(float));
		float		result[128];

		emulator_set_order((emulator_order) order, 5);
		LAUNCH(kernel, 1, threads, 0, stream, out, arguments...);
		cudaMemcpyAsync(result, out, sizeof(result), cudaMemcpyDeviceToHost, stream);
		cudaStreamSynchronize(stream);
		for (int i = 0; i < threads; i++)
			all &= result[i] == good[i];
		cudaFree(out);
	}
	emulator_set_order(EMULATOR_FORWARD, 1);
	return all;
}

/* Runs what in another process: true if the emulator ends it with the words. */
template <typename F>
static bool
ends_with(const char *words, F what)
{
	int			ends[2];
	char		text[1024];
	size_t		length = 0;
	ssize_t		n;
	int			status;
	pid_t		child;

	fflush(stdout);
	if (pipe(ends) != 0)
		return false;
	child = fork();
	if (child == 0)
	{
		dup2(ends[1], 2);
		what();
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t) n;
	text[length] = '\0';
	close(ends[0]);
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EMULATOR_EXIT && strstr(text, words) != NULL)
		return true;
	tap_note("status %x, said: %s", status, text);
	return false;
}

/* A missing barrier changes what comes out, or, to ThreadSanitizer, is a race. */
template <typename K>
static bool
caught(K kernel, int threads, const float *good)
{
#if defined(__SANITIZE_THREAD__)
	(void) good;
	return ends_with("data race", [&] {
		LAUNCH(kernel, 1, threads, 0, stream, (float *) device_memory(128 * sizeof(float)));
		cudaStreamSynchronize(stream);
		_exit(EMULATOR_EXIT);
	});
#else
	return !good_in_each_order(kernel, threads, good);
#endif
}

static void
test_barriers()
{
	float		reversed[64];
	float		lanes[WARP];

	for (int i = 0; i < 64; i++)
		reversed[i] = (float) (63 - i);
	for (int i = 0; i < WARP; i++)
		lanes[i] = (float) (WARP - 1 - i);
	ok(good_in_each_order(exchange_kernel<true>, 64, reversed), "with __syncthreads: good in each order");
	ok(caught(exchange_kernel<false>, 64, reversed), "without: not");
	ok(good_in_each_order(warp_kernel<true>, WARP, lanes), "with __syncwarp: good in each order");
	ok(caught(warp_kernel<false>, WARP, lanes), "without: not");
#if defined(__SANITIZE_THREAD__)
	ok(caught(same_value_kernel, WARP, lanes), "all write the same to one place");
#endif
	ok(ends_with("do not reach", [] {
		LAUNCH(divergent_barrier_kernel, 1, 32, 0, stream, (int *) device_memory(256));
		cudaStreamSynchronize(stream);
	}), "a barrier that half of the threads reach");
}

static void
test_copies()
{
	float	   *in = (float *) device_memory(128 * sizeof(float));
	float		numbers[128];

	for (int i = 0; i < 128; i++)
		numbers[i] = (float) i;
	cudaMemcpyAsync(in, numbers, sizeof(numbers), cudaMemcpyHostToDevice, stream);
	cudaStreamSynchronize(stream);
	ok(good_in_each_order(copy_kernel<true>, WARP, numbers, (const float *) in),
	   "asynchronous copies that are waited for arrive");
	ok(!good_in_each_order(copy_kernel<false>, WARP, numbers, (const float *) in), "others need not");
	cudaFree(in);
}

static void
test_masks()
{
	ok(ends_with("do not reach", [] {
		LAUNCH(wrong_mask_kernel, 1, 32, 0, stream, (unsigned *) device_memory(256));
		cudaStreamSynchronize(stream);
	}), "a mask with lanes that never come");
	ok(ends_with("is not in the mask", [] {
		LAUNCH(foreign_mask_kernel, 1, 32, 0, stream, (unsigned *) device_memory(256));
		cudaStreamSynchronize(stream);
	}), "a mask without the lane that gives it");
	ok(ends_with("which is not in the mask", [] {
		LAUNCH(absent_lane_kernel, 1, 32, 0, stream, (unsigned *) device_memory(256));
		cudaStreamSynchronize(stream);
	}), "a shuffle from a lane that is not there");
}

static void
test_memory()
{
	ok(ends_with("shared memory is touched", [] {
		LAUNCH(shared_kernel, 1, 1, 0, stream, (float *) device_memory(4), 64);
		cudaStreamSynchronize(stream);
	}), "a shared variable is written behind its end");
	ok(ends_with("shared memory is touched", [] {
		LAUNCH(dynamic_kernel, 1, 1, 256, stream, (float *) device_memory(4), 64);
		cudaStreamSynchronize(stream);
	}), "dynamic shared memory is written behind its end");
	ok(ends_with("device memory is touched 256 bytes", [] {
		LAUNCH(global_kernel, 1, 1, 0, stream, (float *) device_memory(256), 64);
		cudaStreamSynchronize(stream);
	}), "device memory is written behind its end");
	ok(ends_with("device memory is touched -4096 bytes", [] {
		LAUNCH(global_kernel, 1, 1, 0, stream, (float *) device_memory(4096), -1024);
		cudaStreamSynchronize(stream);
	}), "device memory is written before its start");
	ok(ends_with("the host touches device memory", [] {
		*(volatile float *) device_memory(4) = 1;
	}), "the host writes to device memory");
}

/* A result that is read before its stream was waited for; a buffer that is written too early. */
static void
test_streams()
{
	float	   *memory = (float *) device_memory(4);
	float		from = 1;
	float		early = -1;
	float		late = -1;

	cudaMemcpyAsync(memory, &from, 4, cudaMemcpyHostToDevice, stream);
	from = 2;
	cudaMemcpyAsync(&late, memory, 4, cudaMemcpyDeviceToHost, stream);
	early = late;
	cudaStreamSynchronize(stream);
	ok(early == -1 && late == 2, "copies happen at a synchronisation and not before");
	cudaFree(memory);
}

static void
test_fresh_memory()
{
	float	   *memory = (float *) device_memory(64);
	float		got[16];
	bool		all = true;

	cudaMemcpyAsync(got, memory, sizeof(got), cudaMemcpyDeviceToHost, stream);
	cudaStreamSynchronize(stream);
	for (float x : got)
		all &= x != x;
	ok(all, "fresh memory is NaN");
	cudaFree(memory);
}

/* Q K^T by ldmatrix and mma against a plain sum, as attention uses them. */
template <typename T>
static __global__ void
product_kernel(float *out, const T *a, const T *b)
{
	unsigned	of_a[4];
	unsigned	of_b[4];
	float		c[2][4] = {};
	int			lane = (int) threadIdx.x;

	load_matrices(of_a, a + lane % 16 * 16 + lane / 16 * 8);
	load_matrices(of_b, b + (lane / 16 * 8 + lane % 8) * 16 + lane / 8 % 2 * 8);
	multiply_matrices<T>(c[0], of_a, of_b[0], of_b[1]);
	multiply_matrices<T>(c[1], of_a, of_b[2], of_b[3]);
	for (int n = 0; n < 2; n++)
		for (int i = 0; i < 4; i++)
			out[(lane / 4 + i / 2 * 8) * 16 + n * 8 + lane % 4 * 2 + i % 2] = c[n][i];
}

template <typename T>
static void
test_matrices(const char *kind)
{
	T		   *a = (T *) device_memory(512);
	T		   *b = (T *) device_memory(512);
	float	   *out = (float *) device_memory(1024);
	T			host[2][256];
	float		got[256];
	bool		all = true;

	for (int i = 0; i < 256; i++)
	{
		host[0][i] = from_float<T>((float) (i * 37 % 23 - 11));
		host[1][i] = from_float<T>((float) (i * 53 % 19 - 9));
	}
	cudaMemcpyAsync(a, host[0], 512, cudaMemcpyHostToDevice, stream);
	cudaMemcpyAsync(b, host[1], 512, cudaMemcpyHostToDevice, stream);
	LAUNCH(product_kernel<T>, 1, WARP, 0, stream, out, a, b);
	cudaMemcpyAsync(got, out, 1024, cudaMemcpyDeviceToHost, stream);
	cudaStreamSynchronize(stream);
	for (int i = 0; i < 256; i++)
	{
		float		sum = 0;

		for (int k = 0; k < 16; k++)
			sum += to_float(host[0][i / 16 * 16 + k]) * to_float(host[1][i % 16 * 16 + k]);
		all &= got[i] == sum;
	}
	ok(all, "ldmatrix and mma: a product of 16 x 16 x 16, %s", kind);
}

int
main()
{
	cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
	test_barriers();
	test_copies();
	test_masks();
	test_memory();
	test_streams();
	test_fresh_memory();
	test_matrices<__half>("f16");
	test_matrices<bfloat16>("bf16");
	return tap_done();
}
