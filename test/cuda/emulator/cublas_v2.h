/*
 * cublas_v2.h: the part of cuBLAS that cuda/ uses.
 */
#ifndef EMULATOR_CUBLAS_V2_H
#define EMULATOR_CUBLAS_V2_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C"
{
#endif

typedef struct emulator_blas *cublasHandle_t;

typedef enum cublasStatus_t
{
	CUBLAS_STATUS_SUCCESS = 0,
	CUBLAS_STATUS_NOT_INITIALIZED = 1,
	CUBLAS_STATUS_ALLOC_FAILED = 3,
	CUBLAS_STATUS_INVALID_VALUE = 7
} cublasStatus_t;

typedef enum cublasOperation_t
{
	CUBLAS_OP_N = 0,
	CUBLAS_OP_T = 1
} cublasOperation_t;

typedef enum cudaDataType
{
	CUDA_R_32F = 0,
	CUDA_R_16F = 2,
	CUDA_R_16BF = 14
} cudaDataType;

typedef enum cublasComputeType_t
{
	CUBLAS_COMPUTE_32F = 68
} cublasComputeType_t;

typedef enum cublasGemmAlgo_t
{
	CUBLAS_GEMM_DEFAULT = -1
} cublasGemmAlgo_t;

extern cublasStatus_t cublasCreate_v2(cublasHandle_t *out);
extern cublasStatus_t cublasDestroy_v2(cublasHandle_t handle);
extern cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream);
extern cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes);
extern cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a,
								   cublasOperation_t op_b, int m, int n, int k, const void *alpha,
								   const void *a, cudaDataType type_a, int lda, const void *b,
								   cudaDataType type_b, int ldb, const void *beta, void *c,
								   cudaDataType type_c, int ldc, cublasComputeType_t compute,
								   cublasGemmAlgo_t algorithm);

#define cublasCreate cublasCreate_v2
#define cublasDestroy cublasDestroy_v2
#define cublasSetStream cublasSetStream_v2
#define cublasSetWorkspace cublasSetWorkspace_v2

#ifdef __cplusplus
}
#endif

#endif							/* EMULATOR_CUBLAS_V2_H */
