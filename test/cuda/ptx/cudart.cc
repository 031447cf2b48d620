/*
 * cudart.cc: the part of libcudart that nvcc's own code calls: kernels by name, launches. Together with
 * the emulator it is a libcudart.so that an unchanged rag_cuda.so runs on.
 */
#include <cstdlib>
#include <vector>

#include "ptx.h"

struct dim
{
	unsigned	x;
	unsigned	y;
	unsigned	z;
};

struct launch_config
{
	dim			grid;
	dim			block;
	size_t		shared;
	cudaStream_t stream;
};

struct registered
{
	const void *stub;			/* the host's function of that name */
	const ptx_kernel *kernel;
};

/* Libraries register before anything else of this one runs. */
static std::vector<registered> &
all_registered()
{
	static std::vector<registered> list;

	return list;
}

static thread_local launch_config pushed;

extern "C" void **
__cudaRegisterFatBinary(void *)
{
	static void *handle;

	return &handle;
}

extern "C" void
__cudaRegisterFatBinaryEnd(void **)
{
}

extern "C" void
__cudaUnregisterFatBinary(void **)
{
}

extern "C" void
__cudaRegisterFunction(void **, const char *stub, char *, const char *name, int, void *, void *, void *,
					   void *, int *)
{
	for (int i = 0; i < ptx_kernel_count; i++)
	{
		if (strcmp(ptx_kernels[i].name, name) == 0)
		{
			all_registered().push_back({stub, &ptx_kernels[i]});
			return;
		}
	}
	emulator_abort("the PTX has no kernel %s", name);
}

extern "C" unsigned
__cudaPushCallConfiguration(dim grid, dim block, size_t shared, cudaStream_t stream)
{
	pushed = {grid, block, shared, stream};
	return 0;
}

extern "C" cudaError_t
__cudaPopCallConfiguration(dim *grid, dim *block, size_t *shared, void *stream)
{
	*grid = pushed.grid;
	*block = pushed.block;
	*shared = pushed.shared;
	*(cudaStream_t *) stream = pushed.stream;
	return cudaSuccess;
}

extern "C" cudaError_t
__cudaGetKernel(const ptx_kernel **out, const void *stub)
{
	for (const registered &r : all_registered())
	{
		if (r.stub == stub)
		{
			*out = r.kernel;
			return cudaSuccess;
		}
	}
	return cudaErrorInvalidValue;
}

static void
run_launch(void *data)
{
	emulator_run_kernel((const emulator_kernel *) data);
}

extern "C" cudaError_t
__cudaLaunchKernel(const ptx_kernel *kernel, dim grid, dim block, void **arguments, size_t shared,
				   cudaStream_t stream)
{
	/* the arguments behind the call, in one piece */
	unsigned char *memory = (unsigned char *) malloc(sizeof(emulator_kernel) + kernel->params_size);
	unsigned char *params = memory + sizeof(emulator_kernel);
	emulator_kernel call = {kernel->body, params, {grid.x, grid.y, grid.z},
		{block.x, block.y, block.z}, kernel->shared + shared};
	emulator_work work = {run_launch, free, memory};

	memcpy(memory, &call, sizeof(call));
	for (int i = 0; i < kernel->n_params; i++)
		memcpy(params + kernel->params[i].offset, arguments[i], kernel->params[i].size);
	return emulator_enqueue(stream, &work);
}

/* The same, of toolkits before 13. */
extern "C" cudaError_t
cudaLaunchKernel(const void *stub, dim grid, dim block, void **arguments, size_t shared,
				 cudaStream_t stream)
{
	const ptx_kernel *kernel;
	cudaError_t code = __cudaGetKernel(&kernel, stub);

	return code == cudaSuccess ? __cudaLaunchKernel(kernel, grid, block, arguments, shared, stream) : code;
}

extern "C" cudaError_t
cudaFuncSetAttribute(const void *, int, int value)
{
	return value <= EMULATOR_SHARED ? cudaSuccess : cudaErrorInvalidValue;
}
