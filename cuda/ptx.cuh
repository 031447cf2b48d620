/*
 * ptx.cuh: the instructions of sm_80 that C++ has no words for, and what they mean, for the tests
 * that run without a device.
 *
 * Fragments of mma.m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16"), lane = 4 g + t:
 *   A [16 x 16]: a0 (g, 2t), a1 (g + 8, 2t), a2 (g, 2t + 8), a3 (g + 8, 2t + 8)
 *   B [16 x 8]:  b0 (2t, g), b1 (2t + 8, g)
 *   C [16 x 8]:  c0 c1 (g, 2t), c2 c3 (g + 8, 2t)
 * each register of A and B two halves, at the column (A) or row (B) named and the next.
 */
#ifndef RAG_CUDA_PTX_CUH
#define RAG_CUDA_PTX_CUH

#include "cuda/kernel.cuh"

#ifndef CUDA_EMULATED

static __device__ __forceinline__ unsigned
shared_address(const void *p)
{
	return (unsigned) __cvta_generic_to_shared(p);
}

/* 16 bytes from global to shared memory, or zeros if not present. */
static __device__ __forceinline__ void
copy_async(void *to, const void *from, bool present)
{
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n"
				 :: "r"(shared_address(to)), "l"(from), "r"(present ? 16 : 0) : "memory");
}

static __device__ __forceinline__ void
copy_commit()
{
	asm volatile("cp.async.commit_group;\n" ::: "memory");
}

/* Until all but the last LEFT groups of this thread have arrived. */
template <int LEFT>
static __device__ __forceinline__ void
copy_wait()
{
	asm volatile("cp.async.wait_group %0;\n" :: "n"(LEFT) : "memory");
}

/* Four 8 x 8 matrices; lane 8 i + r points to row r of matrix i. Register i of lane 4 g + t holds
 * (g, 2t) and (g, 2t + 1) of it. */
static __device__ __forceinline__ void
load_matrices(unsigned out[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
				 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
				 : "r"(shared_address(row)) : "memory");
}

/* The same of the transposed matrices: (2t, g) and (2t + 1, g). */
static __device__ __forceinline__ void
load_matrices_transposed(unsigned out[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
				 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
				 : "r"(shared_address(row)) : "memory");
}

/* c += a . b, elements of type T */
template <typename T>
static __device__ __forceinline__ void
multiply_matrices(float c[4], const unsigned a[4], unsigned b0, unsigned b1)
{
#define MULTIPLY(TYPE) \
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." TYPE "." TYPE ".f32 " \
				 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n" \
				 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) \
				 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
	if constexpr (is_bfloat16<T>)
		MULTIPLY("bf16");
	else
		MULTIPLY("f16");
#undef MULTIPLY
}

#else

static inline void
copy_async(void *to, const void *from, bool present)
{
	emulator_copy_later(to, from, present ? 16 : 0, present ? 0 : 16);
}

static inline void
copy_commit()
{
	emulator_copy_commit();
}

template <int LEFT>
static inline void
copy_wait()
{
	emulator_copy_wait(LEFT);
}

static inline void
load_matrices(unsigned out[4], const void *row)
{
	const unsigned char *rows = emulator_exchange(ALL_LANES, row, 16);
	unsigned	lane = threadIdx.x % WARP;

	for (unsigned i = 0; i < 4; i++)
		memcpy(&out[i], rows + (8 * i + lane / 4) * EMULATOR_SLOT + lane % 4 * 4, 4);
}

static inline void
load_matrices_transposed(unsigned out[4], const void *row)
{
	const unsigned char *rows = emulator_exchange(ALL_LANES, row, 16);
	unsigned	lane = threadIdx.x % WARP;

	for (unsigned i = 0; i < 4; i++)
	{
		uint16_t	pair[2];

		for (unsigned j = 0; j < 2; j++)
			memcpy(&pair[j], rows + (8 * i + lane % 4 * 2 + j) * EMULATOR_SLOT + lane / 4 * 2, 2);
		out[i] = pair[0] | (unsigned) pair[1] << 16;
	}
}

template <typename T>
static inline void
multiply_matrices(float c[4], const unsigned a[4], unsigned b0, unsigned b1)
{
	unsigned	mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
	const unsigned char *all = emulator_exchange(ALL_LANES, mine, sizeof(mine));
	unsigned	lane = threadIdx.x % WARP;

	/* k = 2t + 8 h and the next: register 2 h + i of A's rows g + 8 i, register h of B's column */
	for (unsigned i = 0; i < 4; i++)
	{
		unsigned	row = lane / 4;
		unsigned	column = lane % 4 * 2 + i % 2;

		for (unsigned t = 0; t < 4; t++)
		{
			unsigned	of_row[6];
			unsigned	of_column[6];

			memcpy(of_row, all + (row * 4 + t) * EMULATOR_SLOT, sizeof(of_row));
			memcpy(of_column, all + (column * 4 + t) * EMULATOR_SLOT, sizeof(of_column));
			for (unsigned h = 0; h < 2; h++)
			{
				unsigned	x = of_row[2 * h + i / 2];
				unsigned	y = of_column[4 + h];

				c[i] += low_of<T>(x) * low_of<T>(y) + high_of<T>(x) * high_of<T>(y);
			}
		}
	}
}

#endif

#endif							/* RAG_CUDA_PTX_CUH */
