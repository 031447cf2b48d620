/*
 * blas.c: the matrix products that cuda/ asks cuBLAS for: A transposed, B not, 16-bit floats of
 * either kind in, sums in f32.
 *
 * A plain loop, four columns of C by one of A at a time, in vectors of the compiler's.
 */
#include <stdlib.h>
#include <string.h>

#include "cublas_v2.h"
#include "emulator.h"

struct emulator_blas
{
	cudaStream_t stream;
};

typedef struct product
{
	int			m;
	int			n;
	int			k;
	const uint16_t *a;
	int			lda;
	const uint16_t *b;
	int			ldb;
	void	   *c;
	bool		bf16;
	bool		f32;
	int			ldc;
} product;

static void
widen(float *restrict to, const uint16_t *restrict from, int n, bool bf16)
{
	if (bf16)
	{
		uint32_t   *bits = (uint32_t *) (void *) to;

		for (int i = 0; i < n; i++)
			bits[i] = (uint32_t) from[i] << 16;
		return;
	}
	for (int i = 0; i < n; i++)
		to[i] = (float) ((const _Float16 *) (const void *) from)[i];
}

static uint16_t
narrow(float x, bool bf16)
{
	_Float16	half = (_Float16) x;
	uint32_t	bits;
	uint16_t	result;

	memcpy(&bits, &x, sizeof(bits));
	memcpy(&result, &half, sizeof(result));
	if (!bf16)
		return result;
	return (uint16_t) ((x != x ? bits | 0x400000 : bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

#define LANES 16

/* Sixteen running sums, folded in a fixed order: a row's product does not depend on the others. */
static float
dot(const float *restrict a, const float *restrict b, int k)
{
	float		sums[LANES] = {0};
	float		sum = 0;
	int			i = 0;

	for (; i + LANES <= k; i += LANES)
	{
		for (int j = 0; j < LANES; j++)
			sums[j] += a[i + j] * b[i + j];
	}
	for (; i < k; i++)
		sum += a[i] * b[i];
	for (int j = 0; j < LANES; j++)
		sum += sums[j];
	return sum;
}

static void
run_product(void *data)
{
	const product *p = data;
	float	   *b = malloc(sizeof(float) * (size_t) p->k * (size_t) p->n);
	float	   *a = malloc(sizeof(float) * (size_t) p->k);

	for (int j = 0; j < p->n; j++)
		widen(b + (size_t) j * (size_t) p->k, p->b + (size_t) j * (size_t) p->ldb, p->k, p->bf16);
	for (int i = 0; i < p->m; i++)
	{
		widen(a, p->a + (size_t) i * (size_t) p->lda, p->k, p->bf16);
		for (int j = 0; j < p->n; j++)
		{
			float		sum = dot(a, b + (size_t) j * (size_t) p->k, p->k);
			size_t		at = (size_t) j * (size_t) p->ldc + (size_t) i;

			if (p->f32)
				((float *) p->c)[at] = sum;
			else
				((uint16_t *) p->c)[at] = narrow(sum, p->bf16);
		}
	}
	free(a);
	free(b);
}

cublasStatus_t
cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
			 int k, const void *alpha, const void *a, cudaDataType type_a, int lda, const void *b,
			 cudaDataType type_b, int ldb, const void *beta, void *c, cudaDataType type_c, int ldc,
			 cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
	product    *p;

	if (op_a != CUBLAS_OP_T || op_b != CUBLAS_OP_N || (type_a != CUDA_R_16F && type_a != CUDA_R_16BF) ||
		type_b != type_a || (type_c != type_a && type_c != CUDA_R_32F) ||
		*(const float *) alpha != 1 || *(const float *) beta != 0 || m < 1 || n < 1 || k < 1 ||
		lda < k || ldb < k || ldc < m || compute != CUBLAS_COMPUTE_32F ||
		algorithm != CUBLAS_GEMM_DEFAULT)
		return CUBLAS_STATUS_INVALID_VALUE;
	p = malloc(sizeof(*p));
	*p = (product) {m, n, k, a, lda, b, ldb, c, type_a == CUDA_R_16BF, type_c == CUDA_R_32F, ldc};
	emulator_enqueue(handle->stream, &(emulator_work) {run_product, free, p});
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasCreate_v2(cublasHandle_t *out)
{
	*out = calloc(1, sizeof(**out));
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasDestroy_v2(cublasHandle_t handle)
{
	free(handle);
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
	handle->stream = stream;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
	(void) handle;
	(void) workspace;
	(void) bytes;
	return CUBLAS_STATUS_SUCCESS;
}
