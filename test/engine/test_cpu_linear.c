/*
 * test_cpu_linear.c: linear() and embed() of every weight type on every instruction set,
 * against sums in double precision; and bit by bit the same for any number of rows.
 */
#include <pthread.h>

#include "cpu_test.h"

/* The input as the kernels see it: f32, or quantised to 8 bits in blocks of 32. */
static void
reference_input(const float *in, int columns, bool quantized, double *out)
{
	for (int c = 0; c < columns; c += 32)
	{
		float		greatest = 0;

		for (int i = c; quantized && i < c + 32; i++)
			greatest = fmaxf(greatest, fabsf(in[i]));
		for (int i = c; i < c + 32 && i < columns; i++)
		{
			float		inverse = greatest > 1e-30f ? 127.0f / greatest : 0;

			out[i] = quantized ? (double) rintf(in[i] * inverse) * (double) (greatest / 127.0f) :
				(double) in[i];
		}
	}
}

static double
reference_epilogue(double x, backend_epilogue epilogue)
{
	if (epilogue == EPILOGUE_GELU)
		return x * 0.5 * erfc(-x / sqrt(2));
	return epilogue == EPILOGUE_TANH ? tanh(x) : x;
}

typedef struct linear_case
{
	tensor_type types[3];
	int			outputs[3];
	int			parts;
	int			columns;
	int			rows;
	backend_epilogue epilogue;
	bool		bias;
} linear_case;

typedef struct linear_data
{
	model_tensor tensors[3];
	double	   *values[3];
	int			outputs;
	float	   *in;
	float	   *bias;
	float	   *out;
} linear_data;

static void
make_data(const linear_case *c, linear_data *data)
{
	data->outputs = 0;
	for (int p = 0; p < c->parts; p++)
	{
		data->tensors[p] = test_tensor(c->types[p], c->outputs[p], c->columns);
		data->values[p] = test_values(&data->tensors[p]);
		data->outputs += c->outputs[p];
	}
	data->in = malloc(sizeof(float) * (size_t) (c->rows * c->columns));
	data->bias = malloc(sizeof(float) * (size_t) data->outputs);
	data->out = malloc(sizeof(float) * (size_t) (c->rows * data->outputs));
	test_fill(data->in, (size_t) (c->rows * c->columns));
	test_fill(data->bias, (size_t) data->outputs);
}

static void
free_data(const linear_case *c, linear_data *data)
{
	for (int p = 0; p < c->parts; p++)
	{
		free((void *) (uintptr_t) data->tensors[p].data);
		free(data->values[p]);
	}
	free(data->in);
	free(data->bias);
	free(data->out);
}

/* The greatest error, as a part of the sum of the absolute products. */
static double
greatest_error(const linear_case *c, const linear_data *data)
{
	double		worst = 0;
	double	   *in = malloc(sizeof(double) * (size_t) c->columns);

	for (int r = 0; r < c->rows; r++)
	{
		int			output = 0;

		for (int p = 0; p < c->parts; p++)
		{
			reference_input(data->in + r * c->columns, c->columns, c->types[p] > TYPE_BF16, in);
			for (int n = 0; n < c->outputs[p]; n++, output++)
			{
				double		sum = c->bias ? data->bias[output] : 0;
				double		size = 1;
				double		error;

				for (int k = 0; k < c->columns; k++)
				{
					sum += in[k] * data->values[p][n * c->columns + k];
					size += fabs(in[k] * data->values[p][n * c->columns + k]);
				}
				error = fabs(data->out[r * data->outputs + output] -
							 reference_epilogue(sum, c->epilogue)) / size;
				worst = error > worst || isnan(error) ? error : worst;
			}
		}
	}
	free(in);
	return worst;
}

static bool
run_linear(backend_device *d, const linear_case *c, const linear_data *data,
		   const backend_weight *w, int first, int rows, float *out)
{
	const backend_ops *ops = backend_cpu();
	backend_buffer *in = test_buffer(d, data->in + first * c->columns,
									 (size_t) (rows * c->columns));
	backend_buffer *bias = c->bias ? test_buffer(d, data->bias, (size_t) data->outputs) : NULL;
	backend_buffer *to = test_buffer(d, NULL, (size_t) (rows * data->outputs));
	backend_linear args = {.out = to, .in = in, .weight = w, .bias = bias, .rows = rows,
	.epilogue = c->epilogue};
	bool		good = ops->linear(d, &args) == ENGINE_OK &&
		ops->download(d, to, 0, out, (size_t) (rows * data->outputs)) == ENGINE_OK;

	ops->free(d, in);
	ops->free(d, bias);
	ops->free(d, to);
	return good;
}

/* Every row alone, and stretches of rows, give the bits that all rows together gave. */
static bool
rows_independent(backend_device *d, const linear_case *c, const linear_data *data,
				 const backend_weight *w)
{
	float	   *out = malloc(sizeof(float) * (size_t) (c->rows * data->outputs));
	bool		good = true;

	for (int first = 0; first < c->rows;)
	{
		int			rows = first < 3 ? 1 : 1 + test_below(c->rows - first);

		good &= run_linear(d, c, data, w, first, rows, out) &&
			memcmp(out, data->out + first * data->outputs,
				   sizeof(float) * (size_t) (rows * data->outputs)) == 0;
		first += rows;
	}
	free(out);
	return good;
}

static backend_weight *
upload(backend_device *d, const linear_case *c, const linear_data *data)
{
	const model_tensor *parts[3] = {&data->tensors[0], &data->tensors[1], &data->tensors[2]};

	return backend_cpu()->upload_weight(d, parts, c->parts, WEIGHT_LINEAR, BACKEND_ACTIVATION, NULL);
}

/* Adds to *worst; false when something failed outright. */
static bool
check_case(backend_device *d, const linear_case *c, double *worst, bool *independent)
{
	linear_data data;
	backend_weight *w;
	bool		good;
	double		error;

	make_data(c, &data);
	w = upload(d, c, &data);
	good = w != NULL && run_linear(d, c, &data, w, 0, c->rows, data.out);
	if (good)
	{
		error = greatest_error(c, &data);
		*worst = error > *worst || isnan(error) ? error : *worst;
		*independent &= rows_independent(d, c, &data, w);
	}
	backend_cpu()->free_weight(d, w);
	free_data(c, &data);
	return good;
}

static void
test_types(backend_device *d, const char *isa)
{
	static const int rows[] = {1, 2, 3, 7, 12, 13, 16, 33};
	static const int columns[] = {32, 64, 256, 576, 1536};
	static const int outputs[] = {1, 31, 32, 48, 100};

	for (int type = 0; type < TENSOR_TYPES; type++)
	{
		const tensor_type_info *info = tensor_type_get((tensor_type) type);
		double		worst = 0;
		bool		independent = true;
		bool		good = true;

		for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
		{
			for (size_t k = 0; k < sizeof(columns) / sizeof(columns[0]); k++)
			{
				linear_case c = {
					.types = {(tensor_type) type}, .parts = 1,
					.columns = (columns[k] + info->block_elements - 1) / info->block_elements *
						info->block_elements,
					.outputs = {outputs[(r + k) % 5]}, .rows = rows[r],
					.bias = (r + k) % 2 == 0, .epilogue = (backend_epilogue) (k % 3),
				};

				good &= check_case(d, &c, &worst, &independent);
			}
		}
		ok(good && worst < 5e-7, "%s: %s: error %.2g of the sum of absolute products", isa,
		   info->name, worst);
		ok(independent, "%s: %s: a row's bits do not depend on the others", isa, info->name);
	}
}

static void
test_shapes(backend_device *d, const char *isa)
{
	linear_case cases[] = {
		{.types = {TYPE_Q4_K, TYPE_Q4_K, TYPE_Q6_K}, .outputs = {96, 33, 32}, .parts = 3,
		.columns = 512, .rows = 21, .bias = true},
		{.types = {TYPE_F32, TYPE_Q8_0}, .outputs = {17, 40}, .parts = 2, .columns = 96,
		.rows = 5},
		{.types = {TYPE_F32}, .outputs = {37}, .parts = 1, .columns = 5, .rows = 19},
		{.types = {TYPE_F16}, .outputs = {3}, .parts = 1, .columns = 17, .rows = 2, .bias = true},
		{.types = {TYPE_F32}, .outputs = {70}, .parts = 1, .columns = 64, .rows = 600},
		{.types = {TYPE_Q4_1}, .outputs = {70}, .parts = 1, .columns = 64, .rows = 600},
		{.types = {TYPE_F32, TYPE_Q8_0, TYPE_F16}, .outputs = {40, 32, 33}, .parts = 3,
		.columns = 800, .rows = 300},
		/* a distance of rows at which the first-level cache cannot hold them side by side */
		{.types = {TYPE_F32, TYPE_F16}, .outputs = {40, 33}, .parts = 2, .columns = 2048,
		.rows = 29},
	};
	double		worst = 0;
	bool		independent = true;
	bool		good = true;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		good &= check_case(d, &cases[i], &worst, &independent);
	ok(good && worst < 5e-7, "%s: fused and odd shapes: error %.2g", isa, worst);
	ok(independent, "%s: fused and odd shapes: rows are independent", isa);
}

/* More rows than fit the packed input at once; the same bits as few. */
static void
test_many_rows(backend_device *d, const char *isa)
{
	linear_case c = {.types = {TYPE_Q8_0, TYPE_F32}, .outputs = {2, 3}, .parts = 2,
	.columns = 65536, .rows = 70};
	double		worst = 0;
	bool		independent = true;
	bool		good = check_case(d, &c, &worst, &independent);

	ok(good && worst < 5e-7 && independent,
	   "%s: inputs larger than the packing memory: error %.2g", isa, worst);
}

/* Inputs that cannot be quantised well: zeros, tiny and huge ones. */
static void
test_ranges(backend_device *d, const char *isa)
{
	linear_case c = {.types = {TYPE_Q4_0}, .outputs = {32}, .parts = 1, .columns = 64, .rows = 4};
	linear_data data;
	backend_weight *w;
	bool		good;

	make_data(&c, &data);
	for (int i = 0; i < 64; i++)
	{
		data.in[i] = 0;
		data.in[64 + i] = 1e-42f;
		data.in[128 + i] *= 1e30f;
		data.in[192 + i] = i == 40 ? 1e6f : data.in[192 + i];
	}
	w = upload(d, &c, &data);
	good = w != NULL && run_linear(d, &c, &data, w, 0, 4, data.out);
	for (int n = 0; n < 32; n++)
		good &= data.out[n] == 0 && data.out[32 + n] == 0;
	ok(good && greatest_error(&c, &data) < 5e-7, "%s: zero, tiny, huge inputs", isa);
	data.in[3] = INFINITY;
	data.in[64 + 63] = NAN;
	good = w != NULL && run_linear(d, &c, &data, w, 0, 4, data.out);
	for (int n = 0; n < 32; n++)
		good &= isnan(data.out[n]) && isnan(data.out[32 + n]) && !isnan(data.out[64 + n]);
	ok(good, "%s: infinities and NaNs are not lost in 8 bits", isa);
	backend_cpu()->free_weight(d, w);
	free_data(&c, &data);
}

static void
test_gather_rows(backend_device *d, const char *isa)
{
	const backend_ops *ops = backend_cpu();
	bool		good = true;

	for (int type = 0; type < TENSOR_TYPES; type++)
	{
		const tensor_type_info *info = tensor_type_get((tensor_type) type);
		int			columns = info->block_elements * (256 / info->block_elements + 1);
		model_tensor t = test_tensor((tensor_type) type, 70, columns);
		const model_tensor *part = &t;
		float	   *values = malloc(sizeof(float) * (size_t) (70 * columns));
		float	   *out = malloc(sizeof(float) * (size_t) (70 * columns));
		backend_buffer *to = test_buffer(d, NULL, (size_t) (70 * columns));
		int32_t		tokens[70],
					positions[70];
		int32_t		start[2] = {0, 70};
		backend_batch batch = {.rows = 70, .tokens = tokens, .positions = positions,
		.sequences = 1, .start = start};

		tensor_dequantize((tensor_type) type, t.data, values, (size_t) (70 * columns));
		for (int i = 0; i < 70; i++)
		{
			tokens[i] = i < 2 ? i * 69 : test_below(70);
			positions[i] = i;
		}
		for (int use = WEIGHT_BOTH; use <= WEIGHT_GATHER; use++)
		{
			backend_weight *w = ops->upload_weight(d, &part, 1, (backend_weight_use) use, BACKEND_ACTIVATION, NULL);

			good &= w != NULL && ops->begin_step(d, &batch) == ENGINE_OK &&
				ops->embed(d, &(backend_embed) {.out = to, .tokens = w}) == ENGINE_OK &&
				ops->end_step(d) == ENGINE_OK &&
				ops->download(d, to, 0, out, (size_t) (70 * columns)) == ENGINE_OK;
			for (int i = 0; i < 70; i++)
				good &= memcmp(out + i * columns, values + tokens[i] * columns,
							   sizeof(float) * (size_t) columns) == 0;
			ops->free_weight(d, w);
		}
		ops->free(d, to);
		free(values);
		free(out);
		free((void *) (uintptr_t) t.data);
	}
	ok(good, "%s: embed() gives the very values of every type", isa);
}

static void
test_errors(backend_device *d, const char *isa)
{
	const backend_ops *ops = backend_cpu();
	engine_error error;
	model_tensor t = test_tensor(TYPE_Q8_0, 4, 64);
	model_tensor other = test_tensor(TYPE_Q8_0, 4, 32);
	const model_tensor *parts[2] = {&t, &other};
	backend_weight *w = ops->upload_weight(d, parts, 1, WEIGHT_LINEAR, BACKEND_ACTIVATION, NULL);
	backend_buffer *in = test_buffer(d, NULL, 64);
	backend_buffer *out = test_buffer(d, NULL, 4);
	backend_linear args = {.out = out, .in = in, .weight = w, .rows = 2};

	ok(ops->upload_weight(d, parts, 2, WEIGHT_LINEAR, BACKEND_ACTIVATION, &error) == NULL &&
	   error.code == ENGINE_UNSUPPORTED, "%s: parts of unequal columns", isa);
	t.bytes--;
	ok(ops->upload_weight(d, parts, 1, WEIGHT_LINEAR, BACKEND_ACTIVATION, &error) == NULL &&
	   error.code == ENGINE_CORRUPT, "%s: a tensor that is too short", isa);
	ok(ops->linear(d, &args) == ENGINE_INTERNAL && strstr(ops->message(d), "linear") != NULL,
	   "%s: rows that do not fit", isa);
	args = (backend_linear) {.out = in, .in = in, .weight = w, .rows = 1};
	ok(ops->linear(d, &args) == ENGINE_INTERNAL, "%s: a result in the place of its input", isa);
	args.rows = 0;
	args.out = out;
	ok(ops->linear(d, &args) == ENGINE_OK, "%s: no rows at all", isa);
	ops->free_weight(d, w);
	ops->free(d, in);
	ops->free(d, out);
	free((void *) (uintptr_t) t.data);
	free((void *) (uintptr_t) other.data);
}

/*
 * With one block of columns and no minimum a result is one integer times one scale, so all
 * instruction sets must give the bits of the portable one.
 */
static void
test_integers(backend_device *d, const char *isa)
{
	enum
	{
		FEW = 9					/* fit a tile */
	};

	static const tensor_type types[] = {TYPE_Q4_0, TYPE_Q5_0, TYPE_Q8_0};
	backend_device *portable = device_open(&(backend_config) {.threads = 1}, SIMD_SCALAR, NULL);
	bool		good = portable != NULL;

	for (int i = 0; good && i < 3; i++)
	{
		linear_case c = {.types = {types[i]}, .outputs = {64}, .parts = 1, .columns = 32,
		.rows = 40};
		linear_data data;
		float		expected[40 * 64];
		backend_weight *w;

		make_data(&c, &data);
		/* the extremes of 8-bit products */
		for (int k = 0; k < 32; k++)
			data.in[k] = k % 2 == 0 ? -1.0f : 1.0f;
		memset((char *) (uintptr_t) data.tensors[0].data + 2, 0x80,
			   data.tensors[0].bytes / 64 - 2);
		w = upload(d, &c, &data);
		good = w != NULL && run_linear(portable, &c, &data, w, 0, c.rows, expected) &&
			run_linear(d, &c, &data, w, 0, c.rows, data.out) &&
			memcmp(expected, data.out, sizeof(expected)) == 0 &&
			run_linear(d, &c, &data, w, 0, FEW, data.out) &&
			memcmp(expected, data.out, sizeof(float) * FEW * 64) == 0;
		backend_cpu()->free_weight(d, w);
		free_data(&c, &data);
	}
	ok(good, "%s: integer products are those of portable C", isa);
	backend_cpu()->close(portable);
}

typedef struct loader
{
	backend_device *d;
	const linear_case *c;
	const linear_data *data;
	bool		good;
} loader;

static void *
load_weights(void *arg)
{
	loader	   *l = arg;

	l->good = true;
	for (int i = 0; i < 20; i++)
	{
		backend_weight *w = upload(l->d, l->c, l->data);

		l->good &= w != NULL;
		backend_cpu()->free_weight(l->d, w);
	}
	return NULL;
}

/* Weights come and go on another thread while this one computes. */
static void
test_loading(backend_device *d, const char *isa)
{
	linear_case c = {.types = {TYPE_Q4_K, TYPE_F32}, .outputs = {100, 50}, .parts = 2,
	.columns = 256, .rows = 20};
	linear_data data;
	loader		l = {.d = d, .c = &c, .data = &data};
	float	   *again;
	pthread_t	thread;
	backend_weight *w;
	bool		good;
	bool		started;

	make_data(&c, &data);
	again = malloc(sizeof(float) * (size_t) (c.rows * data.outputs));
	w = upload(d, &c, &data);
	good = w != NULL && run_linear(d, &c, &data, w, 0, c.rows, data.out);
	started = good && pthread_create(&thread, NULL, load_weights, &l) == 0;
	for (int i = 0; i < 20 && started; i++)
		good &= run_linear(d, &c, &data, w, 0, c.rows, again) &&
			memcmp(again, data.out, sizeof(float) * (size_t) (c.rows * data.outputs)) == 0;
	if (started)
		pthread_join(thread, NULL);
	ok(started && good && l.good, "%s: weights are loaded while steps run", isa);
	backend_cpu()->free_weight(d, w);
	free(again);
	free_data(&c, &data);
}

static void
test_all(backend_device *d, const char *isa)
{
	test_types(d, isa);
	test_shapes(d, isa);
	/* as another make of processor does */
	d->kernels.fetch_rows = d->kernels.fetch_rows == 1 ? 8 : 1;
	test_types(d, isa);
	test_shapes(d, isa);
	test_many_rows(d, isa);
	test_ranges(d, isa);
	test_integers(d, isa);
	test_loading(d, isa);
	test_gather_rows(d, isa);
	test_errors(d, isa);
}

int
main(void)
{
	test_each_isa(test_all);
	return tap_done();
}
