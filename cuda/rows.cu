/*
 * rows.cu: what works on each row by itself: embedding, gathering, the gated activation, bias
 * and activation after a matrix product, pooling.
 */
#include "cuda/quant.cuh"

#define ROW_THREADS 256

static unsigned
blocks_for(size_t items)
{
	return (unsigned) ((items + ROW_THREADS - 1) / ROW_THREADS);
}

template <typename T>
static __device__ float
table_value(const table_view &table, size_t row, int column, int columns)
{
	float		x = 0;

	if (table.half != NULL)
		return to_float(((const T *) table.half)[row * (size_t) columns + (size_t) column]);
#define LOOK_UP(TYPE) x = load_value<TYPE>(table.quant, row, column)
	QUANT_SWITCH(table.quant.type, LOOK_UP)
#undef LOOK_UP
	return x;
}

/* One block to a row: the sum of what the tables say of its token, position and type. */
template <typename T>
static __global__ void __launch_bounds__(ROW_THREADS, 1)
embed_kernel(embed_launch_args a)
{
	int			row = (int) blockIdx.x;
	size_t		id = (size_t) a.step.tokens[row];
	size_t		position = (size_t) a.step.positions[row];
	size_t		type = (size_t) a.step.types[row];

	for (int c = (int) threadIdx.x; c < a.columns; c += ROW_THREADS)
	{
		float		x = table_value<T>(a.tables[0], id, c, a.columns);

		if (a.has[1])
			x += table_value<T>(a.tables[1], position, c, a.columns);
		if (a.has[2])
			x += table_value<T>(a.tables[2], type, c, a.columns);
		store_as((T *) a.out + (size_t) row * (size_t) a.columns + (size_t) c, x);
	}
}

extern "C" void
embed_launch(const embed_launch_args *args, cudaStream_t stream)
{
	if (args->rows > 0 && args->bf16)
		LAUNCH((embed_kernel<bfloat16>), args->rows, ROW_THREADS, 0, stream, *args);
	else if (args->rows > 0)
		LAUNCH((embed_kernel<__half>), args->rows, ROW_THREADS, 0, stream, *args);
}

/* out[r, c] = silu(in[r, c]) * in[r, columns + c] (SwiGLU, Shazeer 2020) */
template <typename T>
static __global__ void __launch_bounds__(ROW_THREADS, 1)
gate_kernel(T *out, const T *in, size_t rows, int columns, bool aligned)
{
	size_t		chunks = (size_t) (columns + CHUNK - 1) / CHUNK;
	size_t		number = (size_t) blockIdx.x * ROW_THREADS + threadIdx.x;
	size_t		row = number / chunks;
	int			c = (int) (number % chunks) * CHUNK;
	float		gate[CHUNK];
	float		up[CHUNK];

	if (row >= rows)
		return;
	in += row * 2 * (size_t) columns + (size_t) c;
	load_chunk(in, columns - c, aligned, gate);
	load_chunk(in + columns, columns - c, aligned, up);
#pragma unroll
	for (int i = 0; i < CHUNK; i++)
		gate[i] = gate[i] / (1.0f + exp2f(gate[i] * -LOG2_E)) * up[i];
	store_chunk(out + row * (size_t) columns + (size_t) c, columns - c, aligned, gate);
}

extern "C" void
gate_launch(device_half *out, const device_half *in, int rows, int columns, bool bf16, cudaStream_t stream)
{
	size_t		items = (size_t) rows * (size_t) ((columns + CHUNK - 1) / CHUNK);

	if (items > 0 && bf16)
		LAUNCH((gate_kernel<bfloat16>), blocks_for(items), ROW_THREADS, 0, stream, (bfloat16 *) out,
			   (const bfloat16 *) in, (size_t) rows, columns, columns % CHUNK == 0);
	else if (items > 0)
		LAUNCH((gate_kernel<__half>), blocks_for(items), ROW_THREADS, 0, stream, out, in, (size_t) rows,
			   columns, columns % CHUNK == 0);
}

/* out[i, :] = in[rows[i], :]; rows below 0 are passed over */
static __global__ void __launch_bounds__(ROW_THREADS, 1)
gather_kernel(__half *out, const __half *in, const int32_t *rows, int columns)
{
	int			from = rows[blockIdx.x];

	if (from < 0)
		return;
	for (int c = (int) threadIdx.x; c < columns; c += ROW_THREADS)
		out[(size_t) blockIdx.x * (size_t) columns + (size_t) c] =
			in[(size_t) from * (size_t) columns + (size_t) c];
}

extern "C" void
gather_launch(device_half *out, const device_half *in, const int32_t *rows, int count, int columns,
			  cudaStream_t stream)
{
	if (count > 0)
		LAUNCH((gather_kernel), count, ROW_THREADS, 0, stream, out, in, rows, columns);
}

template <typename T>
static __global__ void __launch_bounds__(ROW_THREADS, 1)
finish_kernel(product_end end, size_t rows, int outputs)
{
	size_t		number = (size_t) blockIdx.x * ROW_THREADS + threadIdx.x;
	size_t		row = number / (size_t) outputs;
	int			o = (int) (number % (size_t) outputs);
	T		   *at = (T *) end.out + row * (size_t) end.stride + (size_t) o;

	if (row < rows)
		store_as(at, apply_epilogue(to_float(*at) + (end.bias != NULL ? end.bias[o] : 0.0f),
									end.epilogue));
}

/* The same, eight elements a thread. */
template <typename T>
static __global__ void __launch_bounds__(ROW_THREADS, 1)
finish_chunks_kernel(product_end end, size_t rows, int chunks)
{
	size_t		number = (size_t) blockIdx.x * ROW_THREADS + threadIdx.x;
	size_t		row = number / (size_t) chunks;
	int			o = (int) (number % (size_t) chunks) * CHUNK;
	T		   *at = (T *) end.out + row * (size_t) end.stride + (size_t) o;
	float		bias[CHUNK] = {0};
	float		x[CHUNK];

	if (row >= rows)
		return;
	load_chunk(at, CHUNK, true, x);
	if (end.bias != NULL)
		load_chunk(end.bias + o, CHUNK, true, bias);
#pragma unroll
	for (int i = 0; i < CHUNK; i++)
		x[i] = apply_epilogue(x[i] + bias[i], end.epilogue);
	store_chunk(at, CHUNK, true, x);
}

template <typename T>
static void
finish_halves(const product_end *end, int rows, int outputs, bool aligned, cudaStream_t stream)
{
	if (aligned)
		LAUNCH((finish_chunks_kernel<T>), blocks_for((size_t) rows * (size_t) (outputs / CHUNK)),
			   ROW_THREADS, 0, stream, *end, (size_t) rows, outputs / CHUNK);
	else
		LAUNCH((finish_kernel<T>), blocks_for((size_t) rows * (size_t) outputs), ROW_THREADS, 0, stream, *end,
			   (size_t) rows, outputs);
}

extern "C" void
finish_launch(const product_end *end, int rows, int outputs, cudaStream_t stream)
{
	unsigned	grid = blocks_for((size_t) rows * (size_t) outputs);
	bool		aligned = outputs % CHUNK == 0 && end->stride % CHUNK == 0 &&
		((uintptr_t) end->out | (uintptr_t) end->bias) % 16 == 0;

	if (end->out_f32)
		LAUNCH((finish_kernel<float>), grid, ROW_THREADS, 0, stream, *end, (size_t) rows, outputs);
	else if (end->bf16)
		finish_halves<bfloat16>(end, rows, outputs, aligned, stream);
	else
		finish_halves<__half>(end, rows, outputs, aligned, stream);
}

/* One block to a sequence: the mean of its rows or the first one, of unit length if asked for. */
template <typename T>
static __global__ void __launch_bounds__(ROW_THREADS, 1)
pool_kernel(pool_launch_args a)
{
	SHARED_ARRAY(float, partial, ROW_THREADS / WARP);
	int			first = a.start[blockIdx.x];
	int			end = a.mean ? a.start[blockIdx.x + 1] : first + 1;
	float	   *out = a.out + (size_t) blockIdx.x * (size_t) a.columns;
	float		squares = 0;
	float		factor;

	for (int c = (int) threadIdx.x; c < a.columns; c += ROW_THREADS)
	{
		float		sum = 0;

		for (int r = first; r < end; r++)
			sum += to_float(((const T *) a.in)[(size_t) r * (size_t) a.columns + (size_t) c]);
		sum /= (float) (end - first);
		out[c] = sum;
		squares += sum * sum;
	}
	if (!a.normalize)
		return;
	squares = block_sum(squares, partial);
	/* as PyTorch's normalize(): a vector of zeros stays one */
	factor = 1.0f / fmaxf(sqrtf(squares), 1e-12f);
	for (int c = (int) threadIdx.x; c < a.columns; c += ROW_THREADS)
		out[c] *= factor;
}

extern "C" void
pool_launch(const pool_launch_args *args, cudaStream_t stream)
{
	if (args->sequences > 0 && args->bf16)
		LAUNCH((pool_kernel<bfloat16>), args->sequences, ROW_THREADS, 0, stream, *args);
	else if (args->sequences > 0)
		LAUNCH((pool_kernel<__half>), args->sequences, ROW_THREADS, 0, stream, *args);
}
