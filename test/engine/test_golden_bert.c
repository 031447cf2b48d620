/*
 * test_golden_bert.c: the BERT graph against PyTorch in f32: all-MiniLM-L6-v2, alone and packed; scores of
 * a cross-encoder with random weights (its vocabulary cut down to what its texts need), by request.
 */
#include "tap.h"

#include <math.h>

#include "drive.h"
#include "golden.h"

#define WIDTH 384

static double
cosine(const float *v, const json_value *golden)
{
	double		ab = 0,
				aa = 0,
				bb = 0;

	for (const json_value *g = golden->child; g; g = g->next, v++)
	{
		ab += *v * g->number;
		aa += (double) *v * *v;
		bb += g->number * g->number;
	}
	return ab / sqrt(aa * bb);
}

/* Encodes texts [first, first + count) of the items as one batch. */
static bool
encode(golden_model *g, const json_value *items, int first, int count, float *vectors)
{
	int32_t		tokens[512],
				positions[512],
				start[GOLDEN_ROWS + 1] = {0};
	backend_batch batch = {.tokens = tokens,.positions = positions,.start = start};
	engine_error error;
	int			i = 0;

	for (const json_value *item = items->child; item; item = item->next, i++)
	{
		int			n;
		int32_t    *ids;

		if (i < first || i >= first + count)
			continue;
		ids = golden_ids(json_get(item, "ids"), &n);
		for (int k = 0; k < n; k++)
		{
			tokens[batch.rows + k] = ids[k];
			positions[batch.rows + k] = k;
		}
		batch.rows += n;
		start[++batch.sequences] = batch.rows;
		free(ids);
	}
	if (graph_encode(g->graph, &batch, vectors, &error))
		return true;
	tap_note("%s", error.message);
	return false;
}

static void
test_pooling(golden_model *g, const json_value *items, const char *member, double least,
			 float *alone)
{
	double		worst = 1;
	int			i = 0;

	for (const json_value *item = items->child; item; item = item->next, i++)
	{
		if (!encode(g, items, i, 1, alone + i * WIDTH))
			worst = -1;
		worst = fmin(worst, cosine(alone + i * WIDTH, json_get(item, member)));
	}
	ok(worst >= least, "%s: %d texts, least cosine %.7f", member, i, worst);
}

static void
test_packed(golden_model *g, const json_value *items, const float *alone)
{
	float		packed[16 * WIDTH];
	int			count = (int) items->count;
	bool		same = true;
	/* as many as fit the rows of a step */
	int			half = count / 2;

	same &= encode(g, items, 0, half, packed) &&
		memcmp(packed, alone, sizeof(float) * WIDTH * (size_t) half) == 0;
	same &= encode(g, items, half, count - half, packed) &&
		memcmp(packed, alone + half * WIDTH, sizeof(float) * WIDTH * (size_t) (count - half)) == 0;
	ok(same, "packed with others: the same bits");
}

/* 8-bit weights: near enough for retrieval, in a fraction of the memory, and as independent of company. */
static void
test_int8(const char *path, const json_value *items)
{
	golden_model g;
	float		alone[16 * WIDTH];

	if (!golden_open_with(&g, path, (graph_limits) {.max_len = 256,.pooling = POOLING_MEAN,
						  .int8_weights = true}))
		return;
	test_pooling(&g, items, "mean_norm", 0.99, alone);
	test_packed(&g, items, alone);
	ok(graph_memory(g.graph) < 80u << 20, "int8 weights: %.1f MB in all",
	   (double) graph_memory(g.graph) / 1e6);
	golden_close(&g);
}

#define CROSS_ENCODER "test/data/tiny-models/tiny_cross_encoder"

/* Every document is ranked for the query of each item; the item's own score is known. */
static void
test_cross_encoder(void)
{
	json	   *golden = golden_read(CROSS_ENCODER ".json");
	drive	   *d = drive_open(&(engine_config) {.threads = 2}, CROSS_ENCODER,
							   "{\"overflow\": \"truncate\"}");
	const char *documents[16];
	int			count = 0;
	int			i = 0;
	double		worst = 0;
	bool		counted = true;

	for (const json_value *v = golden ? json_root(golden)->child : NULL; v; v = v->next)
		documents[count++] = json_get(v, "doc")->string;
	for (const json_value *v = golden ? json_root(golden)->child : NULL; v; v = v->next, i++)
	{
		drive_answer *together = &d->answers[2 * i];
		drive_answer *alone = &d->answers[2 * i + 1];

		drive_rerank(d, (uint64_t) (2 * i), json_get(v, "query")->string, count, documents);
		drive_rerank(d, (uint64_t) (2 * i + 1), json_get(v, "query")->string, 1, &documents[i]);
		drive_wait(d, (uint64_t) (2 * i));
		drive_wait(d, (uint64_t) (2 * i + 1));
		if (together->width != count || alone->width != 1 || together->vectors[i] != alone->vectors[0])
		{
			tap_note("%s%s", together->message, alone->message);
			worst = INFINITY;
			continue;
		}
		worst = fmax(worst, fabs(alone->vectors[0] - json_get_number(v, "logit", 1e9)));
		counted &= alone->usage.prompt_tokens == (uint32_t) json_get_number(v, "n_ids", 0);
	}
	ok(count > 3 && worst < 1e-4, "cross-encoder: %d scores alone and together, greatest difference %.2g",
	   count, worst);
	ok(counted, "of as many tokens");
	drive_embed(d, 100, 1, documents, 0);
	ok(drive_wait(d, 100)->code == ENGINE_INVALID, "embedding with it: %s", d->answers[100].message);
	drive_close(d);
	json_free(golden);
}

/* The option of a model, on its way through the engine. */
static void
test_int8_option(void)
{
	const char *document = "WAL is a log.";
	drive	   *d = drive_open(&(engine_config) {.threads = 1}, CROSS_ENCODER, "{\"weights\": \"native\"}");
	drive	   *int8 = drive_open(&(engine_config) {.threads = 1}, CROSS_ENCODER, "{\"weights\": \"int8\"}");
	drive	   *wrong = drive_open(&(engine_config) {.threads = 1}, CROSS_ENCODER, "{\"weights\": \"int9\"}");
	float		native = 0,
				scored = 0;

	drive_rerank(d, 1, "what is WAL?", 1, &document);
	drive_rerank(int8, 1, "what is WAL?", 1, &document);
	drive_rerank(wrong, 1, "what is WAL?", 1, &document);
	if (drive_wait(d, 1)->code == ENGINE_OK && drive_wait(int8, 1)->code == ENGINE_OK)
	{
		native = d->answers[1].vectors[0];
		scored = int8->answers[1].vectors[0];
	}
	ok(native != scored && fabsf(native - scored) < 0.1f, "weights: int8 scores %.4f, native %.4f",
	   scored, native);
	ok(drive_wait(wrong, 1)->code == ENGINE_INVALID, "%s", wrong->answers[1].message);
	drive_close(d);
	drive_close(int8);
	drive_close(wrong);
}

int
main(void)
{
	const char *models = getenv("RAG_TEST_MODELS");
	char		path[1024];
	golden_model g;
	json	   *golden;
	float		alone[16 * WIDTH];

	test_cross_encoder();
	test_int8_option();
	if (!models || !*models)
	{
		tap_skip("MiniLM: RAG_TEST_MODELS is not set");
		return tap_done();
	}
	golden = golden_read("test/data/embeddings/minilm_mean_and_cls.json");
	snprintf(path, sizeof(path), "%s/minilm", models);
	for (int cls = 0; golden && cls <= 1; cls++)
	{
		const json_value *items = json_get(json_root(golden), "items");

		if (!golden_open(&g, path, 256, cls ? POOLING_CLS : POOLING_MEAN, false))
			break;
		test_pooling(&g, items, cls ? "cls_norm" : "mean_norm", 0.9999, alone);
		test_packed(&g, items, alone);
		golden_close(&g);
	}
	if (golden)
		test_int8(path, json_get(json_root(golden), "items"));
	json_free(golden);
	return tap_done();
}
