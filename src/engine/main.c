/*
 * main.c: rag-engine, the process that holds the models.
 */
int
main(void)
{
	return 0;
}
