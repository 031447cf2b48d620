/*
 * weight.c: tensors of model files to matrices on the device.
 *
 * Floats of any size become f16, or bf16 for a model of that. Quantised blocks are taken apart into
 * the planes of kernels.h.
 * Parts of equal kind that follow one another become one matrix.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/device.h"
#include "simd/half.h"
#include "engine/cpu/raw_block.h"

#define BLOCK 32
#define SUPER_BLOCKS 8
#define PLANES 4

/* Bytes of a row in each plane: q, high, scale, sub. */
typedef struct plane_sizes
{
	size_t		row[PLANES];
} plane_sizes;

static bool
is_float(tensor_type type)
{
	return type == TYPE_F32 || type == TYPE_F16 || type == TYPE_BF16;
}

static bool
is_k(tensor_type type)
{
	return type == TYPE_Q4_K || type == TYPE_Q5_K || type == TYPE_Q6_K;
}

static bool
same_kind(tensor_type a, tensor_type b)
{
	return a == b || (is_float(a) && is_float(b));
}

static plane_sizes
plane_sizes_of(tensor_type type, size_t columns)
{
	size_t		blocks = columns / BLOCK;
	plane_sizes s = {{blocks * (type == TYPE_Q8_0 ? 32 : 16), 0, 0, 0}};

	if (is_float(type))
		return (plane_sizes) {{columns * sizeof(device_half), 0, 0, 0}};
	if (type == TYPE_Q5_0 || type == TYPE_Q5_1 || type == TYPE_Q5_K)
		s.row[1] = blocks * 4;
	else if (type == TYPE_Q6_K)
		s.row[1] = blocks * 8;
	if (type == TYPE_Q6_K)
		s.row[2] = blocks / SUPER_BLOCKS * 2;
	else if (is_k(type))
		s.row[2] = blocks / SUPER_BLOCKS * 4;
	else
		s.row[2] = blocks * (type == TYPE_Q4_1 || type == TYPE_Q5_1 ? 4 : 2);
	s.row[3] = is_k(type) ? blocks * 2 : 0;
	return s;
}

static uint16_t
half_of(float x)
{
	return half_from_float(x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x);
}

/* To the nearest, ties to even. */
static uint16_t
bfloat16_of(float x)
{
	uint32_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	bits = isnan(x) ? bits | 0x400000 : bits + 0x7FFF + (bits >> 16 & 1);
	return (uint16_t) (bits >> 16);
}

/* Block b of a row of file data to row memory of each plane. */
static void
take_apart(const raw_block *r, tensor_type type, size_t b, char *const to[PLANES])
{
	uint32_t	high[2] = {0, 0};
	uint8_t		nibbles[16];
	uint16_t	scales[2] = {r->scale, r->min};

	for (int i = 0; i < BLOCK; i++)
	{
		high[0] |= (uint32_t) (r->q[i] >> 4 & 1) << i;
		high[1] |= (uint32_t) (r->q[i] >> 5 & 1) << i;
	}
	for (int i = 0; i < 16; i++)
		nibbles[i] = (uint8_t) ((r->q[i] & 15) | (r->q[i + 16] & 15) << 4);
	if (type == TYPE_Q8_0)
		memcpy(to[0] + b * 32, r->q, 32);
	else
		memcpy(to[0] + b * 16, nibbles, 16);
	if (type == TYPE_Q6_K)
		memcpy(to[1] + b * 8, high, 8);
	else if (type == TYPE_Q5_0 || type == TYPE_Q5_1 || type == TYPE_Q5_K)
		memcpy(to[1] + b * 4, high, 4);
	if (!is_k(type))
	{
		size_t		size = type == TYPE_Q4_1 || type == TYPE_Q5_1 ? 4 : 2;

		memcpy(to[2] + b * size, scales, size);
		return;
	}
	memcpy(to[2] + b / SUPER_BLOCKS * (type == TYPE_Q6_K ? 2 : 4), scales,
		   type == TYPE_Q6_K ? 2 : 4);
	to[3][b * 2] = (char) r->sub_scale[0];
	to[3][b * 2 + 1] = (char) (type == TYPE_Q6_K ? r->sub_scale[1] : r->sub_min);
}

static void
convert_row(const model_tensor *t, size_t row, bool bf16, char *const to[PLANES])
{
	const tensor_type_info *info = tensor_type_get(t->type);
	size_t		columns = (size_t) t->columns;
	const uint8_t *from = (const uint8_t *) t->data +
		row * (columns / (size_t) info->block_elements) * (size_t) info->block_bytes;

	if (t->type == (bf16 ? TYPE_BF16 : TYPE_F16))
		memcpy(to[0], from, columns * 2);
	else if (is_float(t->type))
	{
		for (size_t c = 0; c < columns; c++)
		{
			float		x;
			uint16_t	h;

			tensor_dequantize(t->type, from + c * (size_t) info->block_bytes, &x, 1);
			h = bf16 ? bfloat16_of(x) : half_of(x);
			memcpy(to[0] + c * 2, &h, 2);
		}
	}
	else
	{
		for (size_t b = 0; b < columns / BLOCK; b++)
		{
			raw_block	block;

			raw_block_read(t->type, from, b, &block);
			take_apart(&block, t->type, b, to);
		}
	}
}

/* Rows of t to rows [first, ..) of the planes at place, through the staging buffer. */
static engine_code
copy_tensor(backend_device *d, const model_tensor *t, size_t first, bool bf16,
			char *const place[PLANES])
{
	plane_sizes s = plane_sizes_of(t->type, (size_t) t->columns);
	size_t		row_bytes = s.row[0] + s.row[1] + s.row[2] + s.row[3];
	size_t		slab = STAGING_BYTES / row_bytes;
	engine_code code = ENGINE_OK;

	pthread_mutex_lock(&d->copy_lock);
	for (size_t row = 0; row < (size_t) t->rows && code == ENGINE_OK; row += slab)
	{
		size_t		rows = (size_t) t->rows - row < slab ? (size_t) t->rows - row : slab;
		char	   *plane[PLANES];

		for (size_t p = 0, at = 0; p < PLANES; at += s.row[p++] * rows)
			plane[p] = d->staging + at;
		for (size_t r = 0; r < rows; r++)
			convert_row(t, row + r, bf16, (char *[PLANES]) {
				plane[0] + r * s.row[0], plane[1] + r * s.row[1], plane[2] + r * s.row[2],
				plane[3] + r * s.row[3]});
		for (size_t p = 0; p < PLANES && code == ENGINE_OK; p++)
			code = gpu_check(cudaMemcpyAsync(place[p] + (first + row) * s.row[p], plane[p],
												rows * s.row[p], cudaMemcpyHostToDevice, d->copy),
								"a weight");
		if (code == ENGINE_OK)
			code = gpu_check(cudaStreamSynchronize(d->copy), "a weight");
	}
	pthread_mutex_unlock(&d->copy_lock);
	return code;
}

/* Memory for `rows` rows, and where its planes are. */
static bool
allocate_segment(backend_device *d, weight_segment *segment, tensor_type type, int columns,
				 char *place[PLANES])
{
	plane_sizes s = plane_sizes_of(type, (size_t) columns);
	size_t		at[PLANES];
	size_t		bytes = 0;

	for (int p = 0; p < PLANES; p++)
	{
		at[p] = bytes;
		bytes += (s.row[p] * (size_t) segment->rows + 255) / 256 * 256;
	}
	segment->memory = gpu_allocate(d, bytes);
	if (segment->memory == NULL)
		return false;
	for (int p = 0; p < PLANES; p++)
		place[p] = (char *) segment->memory + at[p];
	if (is_float(type))
		segment->half = (device_half *) segment->memory;
	else
		segment->quant = (quant_matrix)
		{
			type, segment->rows, columns / BLOCK, (const uint8_t *) place[0],
			(const uint32_t *) (const void *) place[1], (const device_half *) (const void *) place[2],
			(const uint8_t *) place[3]
		};
	return true;
}

/* Parts [first, end), all of one kind, as the next segment. */
static engine_code
upload_segment(backend_device *d, backend_weight *w, const model_tensor *const *parts, int first,
			   int end)
{
	weight_segment *segment = &w->segments[w->n_segments++];
	char	   *place[PLANES];
	size_t		row = 0;
	engine_code code = ENGINE_OK;

	segment->first = w->rows;
	for (int i = first; i < end; i++)
		segment->rows += (int) parts[i]->rows;
	w->rows += segment->rows;
	if (!allocate_segment(d, segment, parts[first]->type, w->columns, place))
		return ENGINE_NO_MEMORY;
	for (int i = first; i < end && code == ENGINE_OK; row += (size_t) parts[i++]->rows)
		code = copy_tensor(d, parts[i], row, w->bf16, place);
	return code;
}

static bool
check_part(const model_tensor *t, const model_tensor *first, engine_error *error)
{
	const tensor_type_info *info = tensor_type_get(t->type);

	if (info == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "weight \"%s\" has unknown type %d", t->name,
						   (int) t->type);
	if (t->rows < 1 || t->rows > ROWS_MAX || t->columns < 1 || t->columns > COLUMNS_MAX ||
		t->columns != first->columns || t->columns % info->block_elements != 0)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "weight \"%s\" of type %s has unsupported shape %lld x %lld", t->name,
						   info->name, (long long) t->rows, (long long) t->columns);
	if (t->bytes / (size_t) t->rows <
		(size_t) (t->columns / info->block_elements) * (size_t) info->block_bytes)
		return engine_fail(error, ENGINE_CORRUPT, "weight \"%s\" is shorter than its shape",
						   t->name);
	return true;
}

static bool
check_parts(const model_tensor *const *parts, int count, backend_weight_use use,
			engine_error *error)
{
	int64_t		rows = 0;

	if (count < 1 || count > WEIGHT_PARTS || (use == WEIGHT_GATHER && count != 1))
		return engine_fail(error, ENGINE_INTERNAL, "a weight of %d parts", count);
	for (int i = 0; i < count; i++)
	{
		if (!check_part(parts[i], parts[0], error))
			return false;
		rows += parts[i]->rows;
	}
	return rows <= ROWS_MAX ||
		engine_fail(error, ENGINE_UNSUPPORTED, "weight \"%s\" has too many rows", parts[0]->name);
}

backend_weight *
gpu_weight_upload(backend_device *d, const model_tensor *const *parts, int count,
				  backend_weight_use use, backend_element activations, engine_error *error)
{
	backend_weight *w;

	if (!check_parts(parts, count, use, error))
		return NULL;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
	{
		engine_fail_memory(error, "a weight");
		return NULL;
	}
	w->columns = (int) parts[0]->columns;
	w->bf16 = activations == BACKEND_BF16;
	for (int i = 0, end; i < count; i = end)
	{
		engine_code code;

		for (end = i + 1; end < count && same_kind(parts[i]->type, parts[end]->type); end++)
			;
		code = upload_segment(d, w, parts, i, end);
		if (code != ENGINE_OK)
		{
			engine_fail(error, code, "weight \"%s\": %s", parts[i]->name, gpu_message());
			gpu_weight_free(d, w);
			return NULL;
		}
	}
	return w;
}

void
gpu_weight_free(backend_device *d, backend_weight *w)
{
	if (w == NULL)
		return;
	for (int i = 0; i < w->n_segments; i++)
		gpu_release(d, w->segments[i].memory);
	free(w);
}
